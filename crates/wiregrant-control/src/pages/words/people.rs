//! Texts of the pages for people with an access code.

use super::words;

words! {
    /// Texts of the pages for people with an access code.
    PeopleWords {
        redeem_title: "Enter your access code", "Введите код доступа", "کد دسترسی خود را وارد کنید", "输入您的访问码";
        redeem_lead: "You get a file that connects you to the open internet through WireGuard. No account, no e-mail, no name.", "Вы получите файл, который через WireGuard подключит вас к свободному интернету. Без учётной записи, почты и имени.", "فایلی می‌گیرید که با وایرگارد شما را به اینترنت آزاد وصل می‌کند. بدون حساب، بدون ایمیل، بدون نام.", "您将得到一个文件，通过 WireGuard 连接到开放的互联网。无需账号、邮箱或姓名。";
        code: "Access code", "Код доступа", "کد دسترسی", "访问码";
        code_hint: "20 letters and digits. Capitals, spaces and dashes do not matter.", "20 букв и цифр. Регистр, пробелы и дефисы не важны.", "۲۰ حرف و رقم. بزرگی حروف، فاصله و خط تیره مهم نیست.", "20 个字母和数字。大小写、空格和连字符均可忽略。";
        go_on: "Continue", "Продолжить", "ادامه", "继续";
        no_code: "Where do I get a code?", "Где взять код?", "کد را از کجا بگیرم؟", "从哪里获得访问码？";
        no_code_text: "From an organisation or a person you trust. Nobody here asks you for money for one, and there is no sign-up.", "У организации или человека, которым вы доверяете. Здесь никто не может просить за него деньги, и регистрации нет.", "از سازمان یا کسی که به او اعتماد دارید. اینجا کسی برای آن از شما پول نمی‌خواهد و ثبت‌نامی در کار نیست.", "从您信任的组织或个人处获得。这里没有人会向您收费，也无需注册。";
        on_phone: "Continue on another device", "Продолжить на другом устройстве", "ادامه روی دستگاه دیگر", "在另一台设备上继续";
        on_phone_text: "Scan this with the camera of the phone you want to connect. It opens this page there with the code filled in; the code is in the part of the address that is never sent to the server.", "Отсканируйте камерой телефона, который нужно подключить. На нём откроется эта страница с уже введённым кодом; код стоит в той части адреса, которая не отправляется на сервер.", "با دوربین تلفنی که باید وصل شود اسکن کنید. همین صفحه با کدِ پرشده در آن باز می‌شود؛ کد در بخشی از نشانی است که هرگز به سرور فرستاده نمی‌شود.", "用要连接的手机扫描此码。手机会打开本页并填好访问码；访问码位于地址中不会发送到服务器的部分。";
        qr_of_page: "QR code with the address of this page and your access code", "QR-код с адресом этой страницы и вашим кодом доступа", "کد QR با نشانی این صفحه و کد دسترسی شما", "包含本页地址和您的访问码的二维码";
        step_code: "Code", "Код", "کد", "访问码";
        step_place: "Place", "Место", "مکان", "地点";
        step_file: "File", "Файл", "فایل", "文件";

        devices_title: "Your devices", "Ваши устройства", "دستگاه‌های شما", "您的设备";
        devices_none: "No device yet. Choose a place for the first one.", "Устройств пока нет. Выберите место для первого.", "هنوز دستگاهی نیست. برای نخستین دستگاه مکانی انتخاب کنید.", "还没有设备。请为第一台设备选择地点。";
        devices_used: "Devices used", "Занято устройств", "دستگاه‌های استفاده‌شده", "已用设备名额";
        valid_until: "Valid until", "Действует до", "معتبر تا", "有效期至";
        place: "Place", "Место", "مکان", "地点";
        added: "Added", "Добавлено", "افزوده در", "添加于";
        key: "Public key", "Открытый ключ", "کلید عمومی", "公钥";
        left: "Left", "Осталось", "باقی‌مانده", "剩余";
        level_over_half: "more than half", "больше половины", "بیش از نیمی", "超过一半";
        level_under_half: "less than half", "меньше половины", "کمتر از نیمی", "不到一半";
        level_under_a_tenth: "less than a tenth", "меньше десятой части", "کمتر از یک‌دهم", "不到十分之一";
        level_exhausted: "nothing", "ничего", "هیچ", "已用尽";
        level_not_told: "all, or not told yet", "всё, или ещё не сообщено", "همه، یا هنوز گفته نشده", "全部，或尚未上报";
        of_allotment: "of", "из", "از", "，共";
        a_month: "a month", "в месяц", "در ماه", "每月";
        in_total: "in total", "всего", "در مجموع", "总计";
        serves: "Serving", "Работает", "در حال سرویس", "服务中";
        resting: "Paused by its operator", "Приостановлено оператором", "گرداننده آن را متوقف کرده", "运营者已暂停";
        node_full: "Full", "Мест нет", "پر", "已满";
        load_quiet: "Quiet", "Свободно", "خلوت", "空闲";
        load_busy: "Busy", "Загружено", "شلوغ", "繁忙";
        load_nearly_full: "Nearly full", "Почти заполнено", "تقریباً پر", "快满";
        load_away: "Not reachable", "Недоступно", "در دسترس نیست", "无法连接";

        add_title: "Add a device", "Добавить устройство", "افزودن دستگاه", "添加设备";
        add_place: "Where should it come out?", "Где выходить в сеть?", "از کجا به اینترنت برسد؟", "从哪里连出？";
        anywhere: "Anywhere", "Где угодно", "هر جا", "任意地点";
        with_socks5: "Also a SOCKS5 login for Telegram (not encrypted)", "Также логин SOCKS5 для Telegram (без шифрования)", "ورود SOCKS5 برای تلگرام هم (بدون رمزنگاری)", "同时需要用于 Telegram 的 SOCKS5 登录（不加密）";
        make_file: "Make my file", "Создать файл", "فایل مرا بساز", "生成我的文件";
        making: "Making your keys and asking for a place…", "Создаём ключи и запрашиваем место…", "در حال ساختن کلیدها و درخواست جا…", "正在生成密钥并申请名额…";
        key_is_made_here: "The private key is made in this browser and goes nowhere but into your file.", "Закрытый ключ создаётся в этом браузере и попадает только в ваш файл.", "کلید خصوصی در همین مرورگر ساخته می‌شود و جز فایل شما به جایی نمی‌رود.", "私钥在此浏览器中生成，只会写入您的文件。";
        own_key_title: "I bring my own key, or have no JavaScript", "У меня свой ключ или нет JavaScript", "کلید خودم را دارم، یا جاوااسکریپت ندارم", "我使用自己的密钥，或没有 JavaScript";
        own_key_text: "Make a tunnel from scratch in the WireGuard app and paste its public key here. You get a file with a hole where your private key belongs; we never see it.", "Создайте в приложении WireGuard новый туннель и вставьте сюда его открытый ключ. Вы получите файл с пропуском на месте закрытого ключа; мы его не видим.", "در برنامهٔ وایرگارد یک تونل تازه بسازید و کلید عمومی آن را اینجا بگذارید. فایلی می‌گیرید که جای کلید خصوصی در آن خالی است؛ ما هرگز آن را نمی‌بینیم.", "在 WireGuard 应用中新建隧道，把它的公钥粘贴到这里。您会得到一个私钥处留空的文件；我们永远看不到私钥。";
        public_key: "Public key (44 characters, ends with =)", "Открытый ключ (44 знака, в конце =)", "کلید عمومی (۴۴ نویسه، پایانش =)", "公钥（44 个字符，以 = 结尾）";
        use_own_key: "Use my key", "Использовать мой ключ", "کلید مرا به کار ببر", "使用我的密钥";

        made_title: "Your file is ready", "Файл готов", "فایل شما آماده است", "您的文件已就绪";
        made_once: "Save it now. It holds a private key that we do not have: when you leave this page, nobody can show it again.", "Сохраните его сейчас. В нём закрытый ключ, которого у нас нет: когда вы уйдёте со страницы, никто не сможет показать его снова.", "همین حالا ذخیره‌اش کنید. کلید خصوصی‌ای در آن است که ما نداریم: این صفحه را که ترک کنید، دیگر کسی نمی‌تواند آن را نشان دهد.", "请立即保存。其中的私钥我们没有：离开此页后，任何人都无法再次显示它。";
        download: "Download the file", "Скачать файл", "دریافت فایل", "下载文件";
        then_open: "Then open it with the WireGuard app.", "Затем откройте его в приложении WireGuard.", "سپس آن را با برنامهٔ وایرگارد باز کنید.", "然后用 WireGuard 应用打开它。";
        show_qr: "Show as a QR code for another device", "Показать QR-код для другого устройства", "نمایش کد QR برای دستگاهی دیگر", "显示二维码供其他设备使用";
        qr_of_file: "QR code with your configuration, for the WireGuard app", "QR-код с вашей конфигурацией для приложения WireGuard", "کد QR پیکربندی شما برای برنامهٔ وایرگارد", "供 WireGuard 应用扫描的配置二维码";
        show_text: "Show the file as text", "Показать файл как текст", "نمایش متن فایل", "以文本显示文件";
        saved_it: "I have saved it", "Я сохранил(а) файл", "ذخیره‌اش کردم", "我已保存";
        hole_text: "Put your private key where the file says so.", "Впишите закрытый ключ на отмеченное место.", "کلید خصوصی خود را در جایی که فایل می‌گوید بگذارید.", "请把您的私钥填到文件中标明的位置。";

        move_title: "Move to another place", "Перенести в другое место", "بردن به جای دیگر", "换到其他地点";
        move_text: "When a place is slow or blocked. You get a new file, and the old one stops. What the device has used is known only roughly, so the new one gets what is surely left: half while more than half is left, else a tenth.", "Если место работает медленно или заблокировано. Вы получите новый файл, старый перестанет работать. Сколько израсходовано, известно лишь примерно, поэтому новый файл получит то, что осталось наверняка: половину, если осталось больше половины, иначе десятую часть.", "وقتی مکانی کند یا مسدود است. فایل تازه‌ای می‌گیرید و فایل کهنه از کار می‌افتد. مصرف دستگاه فقط تقریبی دانسته است، پس دستگاه تازه آنچه را حتماً مانده می‌گیرد: اگر بیش از نیمی مانده، نیمی؛ وگرنه یک‌دهم.", "当某个地点缓慢或被封锁时使用。您会得到新文件，旧文件随即失效。由于用量只是粗略可知，新设备得到确定剩余的部分：剩余过半则为一半，否则为十分之一。";
        move_it: "Move it", "Перенести", "جابه‌جا کن", "更换";
        remove: "Remove", "Удалить", "حذف", "删除";
        remove_text: "Its file stops working at once and for good. The device still counts for this code.", "Файл сразу и навсегда перестанет работать. Устройство по-прежнему считается за этим кодом.", "فایل آن بی‌درنگ و برای همیشه از کار می‌افتد. دستگاه همچنان برای این کد شمرده می‌شود.", "其文件立即永久失效。该设备仍计入此访问码的名额。";
        remove_it: "Yes, remove it", "Да, удалить", "بله، حذف کن", "是的，删除";
        delete_all: "Delete everything", "Удалить всё", "حذف همه چیز", "全部删除";
        delete_all_text: "Removes all devices of this code at once and forgets the code in this browser. It cannot be undone.", "Сразу удаляет все устройства этого кода и забывает код в этом браузере. Отменить нельзя.", "همهٔ دستگاه‌های این کد را یکجا حذف می‌کند و کد را در این مرورگر از یاد می‌برد. بازگشتی ندارد.", "立即删除此访问码的全部设备，并让此浏览器忘记访问码。无法撤销。";
        delete_all_now: "Yes, delete everything", "Да, удалить всё", "بله، همه را حذف کن", "是的，全部删除";
        sign_out: "Forget the code in this browser", "Забыть код в этом браузере", "فراموش کردن کد در این مرورگر", "让此浏览器忘记访问码";
        removed: "The device was removed.", "Устройство удалено.", "دستگاه حذف شد.", "设备已删除。";

        socks5_name: "SOCKS5", "SOCKS5", "SOCKS5", "SOCKS5";
        socks5_new: "New SOCKS5 login", "Новый логин SOCKS5", "ورود SOCKS5 تازه", "新的 SOCKS5 登录";
        socks5_title: "Your SOCKS5 login", "Ваш логин SOCKS5", "ورود SOCKS5 شما", "您的 SOCKS5 登录";
        socks5_warning_title: "Not encrypted", "Без шифрования", "بدون رمزنگاری", "不加密";
        socks5_warning: "Whoever watches your line sees that you use a proxy, its password, and where you go. Use it only for apps that encrypt by themselves, such as Telegram, and only where WireGuard does not get through.", "Тот, кто следит за вашим каналом, видит, что вы пользуетесь прокси, его пароль и куда вы обращаетесь. Используйте его только для приложений, которые шифруют сами, например Telegram, и только там, где WireGuard не проходит.", "هر کس خط شما را زیر نظر دارد می‌بیند که پراکسی به کار می‌برید، گذرواژهٔ آن چیست و به کجا می‌روید. فقط برای برنامه‌هایی به کار ببرید که خودشان رمزنگاری می‌کنند، مانند تلگرام، و فقط جایی که وایرگارد رد نمی‌شود.", "监视您线路的人能看到您在使用代理、代理密码以及您访问哪里。仅用于自带加密的应用（如 Telegram），且仅在 WireGuard 无法连通时使用。";
        socks5_once: "The password is shown this once. A new login stops the old one.", "Пароль показывается только один раз. Новый логин отменяет старый.", "گذرواژه فقط همین یک بار نشان داده می‌شود. ورود تازه، ورود قبلی را از کار می‌اندازد.", "密码仅显示这一次。新的登录会使旧的失效。";
        socks5_open: "Open in Telegram", "Открыть в Telegram", "باز کردن در تلگرام", "在 Telegram 中打开";
        server: "Server", "Сервер", "سرور", "服务器";
        port: "Port", "Порт", "درگاه", "端口";
        username: "Username", "Имя пользователя", "نام کاربری", "用户名";
        password: "Password", "Пароль", "گذرواژه", "密码";
        back_to_devices: "Back to your devices", "Назад к устройствам", "بازگشت به دستگاه‌ها", "返回我的设备";

        help_title: "How to connect", "Как подключиться", "چگونه وصل شویم", "如何连接";
        help_lead: "You need the WireGuard app and the file from this site. The app is free software from the WireGuard project.", "Нужны приложение WireGuard и файл с этого сайта. Приложение — свободная программа проекта WireGuard.", "برنامهٔ وایرگارد و فایل این وبگاه لازم است. این برنامه نرم‌افزار آزادِ پروژهٔ وایرگارد است.", "您需要 WireGuard 应用和本站的文件。该应用是 WireGuard 项目的自由软件。";
        android_name: "Android", "Android", "Android", "Android";
        android_1: "Install WireGuard from F-Droid or Google Play.", "Установите WireGuard из F-Droid или Google Play.", "وایرگارد را از F-Droid یا Google Play نصب کنید.", "从 F-Droid 或 Google Play 安装 WireGuard。";
        android_2: "Press + and choose the file you downloaded, or scan the QR code from another screen.", "Нажмите + и выберите скачанный файл либо отсканируйте QR-код с другого экрана.", "+ را بزنید و فایلی را که گرفته‌اید انتخاب کنید، یا کد QR را از صفحه‌ای دیگر اسکن کنید.", "点按 +，选择下载的文件，或扫描另一屏幕上的二维码。";
        android_3: "Turn the switch on. In the system settings, choose “always-on VPN” so that nothing leaks past it.", "Включите переключатель. В системных настройках выберите «Постоянная VPN», чтобы ничего не шло мимо.", "کلید را روشن کنید. در تنظیمات سیستم «VPN همیشه روشن» را برگزینید تا چیزی بیرون از آن نرود.", "打开开关。在系统设置中选择“始终开启的 VPN”，以免流量泄漏。";
        ios_name: "iPhone, iPad", "iPhone, iPad", "iPhone, iPad", "iPhone, iPad";
        ios_1: "Install WireGuard from the App Store. Where it is missing there, an account of another country has it.", "Установите WireGuard из App Store. Если его там нет, он есть в учётной записи другой страны.", "وایرگارد را از App Store نصب کنید. اگر آنجا نیست، با حساب کشوری دیگر هست.", "从 App Store 安装 WireGuard。若当地商店没有，可用其他地区的账号。";
        ios_2: "Open the downloaded file from Files, share it to WireGuard, and allow the VPN configuration.", "Откройте скачанный файл в «Файлах», отправьте его в WireGuard и разрешите добавить VPN.", "فایل را از Files باز کنید، آن را با WireGuard به اشتراک بگذارید و پیکربندی VPN را بپذیرید.", "在“文件”中打开下载的文件，分享到 WireGuard，并允许添加 VPN 配置。";
        windows_name: "Windows", "Windows", "Windows", "Windows";
        windows_1: "Install WireGuard from wireguard.com, press “Import tunnel(s) from file”, choose the file, and press “Activate”.", "Установите WireGuard с wireguard.com, нажмите «Импорт туннелей из файла», выберите файл и нажмите «Подключить».", "وایرگارد را از wireguard.com نصب کنید، «Import tunnel(s) from file» را بزنید، فایل را برگزینید و «Activate» را بزنید.", "从 wireguard.com 安装 WireGuard，点击“从文件导入隧道”，选择文件，再点击“连接”。";
        macos_name: "macOS", "macOS", "macOS", "macOS";
        macos_1: "Install WireGuard from the App Store, choose “Import tunnel(s) from file”, and activate it.", "Установите WireGuard из App Store, выберите «Импортировать туннели из файла» и включите.", "وایرگارد را از App Store نصب کنید، «Import tunnel(s) from file» را برگزینید و روشنش کنید.", "从 App Store 安装 WireGuard，选择“从文件导入隧道”并启用。";
        linux_name: "Linux", "Linux", "Linux", "Linux";
        linux_1: "Import the file in the network settings (NetworkManager), or install wireguard-tools, put the file into /etc/wireguard/ and run wg-quick up with its name.", "Импортируйте файл в настройках сети (NetworkManager) или установите wireguard-tools, положите файл в /etc/wireguard/ и выполните wg-quick up с его именем.", "فایل را در تنظیمات شبکه (NetworkManager) وارد کنید، یا wireguard-tools را نصب کنید، فایل را در /etc/wireguard/ بگذارید و wg-quick up را با نام آن اجرا کنید.", "在网络设置（NetworkManager）中导入该文件；或安装 wireguard-tools，把文件放入 /etc/wireguard/，用其名称运行 wg-quick up。";
        trouble_title: "When it does not connect", "Если не подключается", "وقتی وصل نمی‌شود", "无法连接时";
        trouble_1: "Give it a minute: a new device is known to its node within seconds, but not always at once.", "Подождите минуту: узел узнаёт о новом устройстве за секунды, но не всегда сразу.", "یک دقیقه صبر کنید: گره دستگاه تازه را در چند ثانیه می‌شناسد، اما نه همیشه بی‌درنگ.", "请等一分钟：节点通常数秒内就能识别新设备，但并非总是立即。";
        trouble_2: "Check the clock of your device: WireGuard refuses one that was set back.", "Проверьте часы устройства: WireGuard не принимает часы, переведённые назад.", "ساعت دستگاه را درست کنید؛ وایرگارد ساعتی را که به عقب رفته نمی‌پذیرد.", "请校准设备时钟；WireGuard 会拒绝回拨的时钟。";
        trouble_3: "Move the device to another place under “My devices”.", "Перенесите устройство в другое место в разделе «Мои устройства».", "در «دستگاه‌های من» دستگاه را به جای دیگری ببرید.", "在“我的设备”中把设备换到其他地点。";
        honest_title: "What this protects you from, and what it does not", "От чего это защищает, а от чего нет", "از چه محافظت می‌کند و از چه نه", "它能保护什么，不能保护什么";
        honest_line: "Whoever watches your line sees that you use WireGuard and with which address, but not what you read. Plain WireGuard is easy to recognise: some countries block it, and some punish its use. Know the law where you are.", "Тот, кто следит за каналом, видит, что вы пользуетесь WireGuard и с каким адресом, но не то, что вы читаете. Обычный WireGuard легко распознать: некоторые страны его блокируют, а некоторые за него наказывают. Узнайте, каков закон там, где вы находитесь.", "هر کس خط شما را زیر نظر دارد می‌بیند که وایرگارد به کار می‌برید و با چه نشانی، اما نه آنچه می‌خوانید. وایرگاردِ ساده را آسان می‌توان شناخت: برخی کشورها آن را می‌بندند و برخی کاربردش را مجازات می‌کنند. قانون جایی را که در آن هستید بدانید.", "监视您线路的人能看到您在使用 WireGuard 以及连接的地址，但看不到您浏览的内容。普通 WireGuard 很容易被识别：一些国家会封锁它，一些会处罚使用者。请了解当地法律。";
        honest_node: "The node’s operator can see where your traffic goes, as an internet provider can, and your address while you are connected. The node forgets it after three minutes of silence, writes no log of it, and tells us only sums.", "Оператор узла видит, куда идёт ваш трафик, как это видит провайдер, и ваш адрес, пока вы подключены. Узел забывает его после трёх минут тишины, не ведёт о нём журнала и сообщает нам только суммы.", "گردانندهٔ گره، مانند شرکت اینترنت، می‌تواند ببیند ترافیک شما به کجا می‌رود، و نشانی شما را تا وقتی وصل هستید. گره پس از سه دقیقه سکوت آن را فراموش می‌کند، جایی نمی‌نویسد و به ما فقط جمع‌ها را می‌گوید.", "节点运营者像网络服务商一样能看到您的流量去向，以及连接期间您的地址。节点在静默三分钟后忘记该地址，不作记录，只向我们报告总量。";
        honest_us: "We know your code, your devices’ public keys, their place and how much is left, in four steps. We do not know who you are, where you are, or what you do. We keep no addresses of visitors.", "Мы знаем ваш код, открытые ключи устройств, их место и сколько осталось — с точностью до четырёх ступеней. Мы не знаем, кто вы, где вы и что делаете. Адреса посетителей мы не храним.", "ما کد شما، کلیدهای عمومی دستگاه‌ها، مکان آن‌ها و مقدار مانده را در چهار پله می‌دانیم. نمی‌دانیم کیستید، کجایید یا چه می‌کنید. نشانی بازدیدکنندگان را نگه نمی‌داریم.", "我们知道您的访问码、设备公钥、所在地点以及以四档表示的剩余量。我们不知道您是谁、在哪里、做什么，也不保存访问者的地址。";
        honest_key: "Your private key is made in your browser, so neither a leak of our database nor an honest server has it. A server that was taken over could send a page that steals it; to rule that out, make the key in the app and paste the public half here.", "Закрытый ключ создаётся в вашем браузере, поэтому его нет ни в утечке нашей базы, ни у честного сервера. Захваченный сервер мог бы прислать страницу, которая его украдёт; кто хочет это исключить, создаёт ключ в приложении и вставляет сюда открытый.", "کلید خصوصی در مرورگر شما ساخته می‌شود، پس نه در نشتِ پایگاه دادهٔ ماست و نه در دست سروری درستکار. سروری که تسخیر شده باشد می‌تواند صفحه‌ای بفرستد که آن را بدزدد؛ هر کس می‌خواهد این را ناممکن کند، کلید را در برنامه می‌سازد و نیمهٔ عمومی را اینجا می‌گذارد.", "私钥在您的浏览器中生成，因此数据库泄露或诚实的服务器都不会得到它。被攻陷的服务器可能发来窃取它的页面；若想排除这种可能，请在应用中生成密钥并在此粘贴公钥。";
        no_script_file: "Without JavaScript this browser cannot make the key for you; bring your own below.", "Без JavaScript браузер не может создать ключ за вас; вставьте свой ниже.", "بدون جاوااسکریپت این مرورگر نمی‌تواند کلید را برایتان بسازد؛ کلید خود را پایین بیاورید.", "没有 JavaScript，浏览器无法为您生成密钥；请在下方使用您自己的密钥。";
        offline: "The server cannot be reached. Nothing is lost: try again, with the same key, when you are connected.", "Сервер недоступен. Ничего не потеряно: попробуйте снова с тем же ключом, когда появится связь.", "به سرور دسترسی نیست. چیزی از دست نرفته: وقتی وصل شدید با همان کلید دوباره امتحان کنید.", "无法连接服务器。没有任何损失：恢复网络后可用同一密钥重试。";
    }
}
