//! What went wrong, and what to do about it.

use wiregrant_core::api::{Problem, ProblemKind};

use super::words;

words! {
    /// What went wrong, and what to do about it.
    ProblemWords {
        heading: "That did not work", "Не получилось", "نشد", "操作未成功";
        code: "This code is not known here. Check it for typing errors: it has 20 letters and digits. If it is right, ask whoever gave it to you.", "Такой код здесь неизвестен. Проверьте, нет ли опечаток: в нём 20 букв и цифр. Если всё верно, спросите того, кто вам его дал.", "این کد اینجا شناخته نشد. غلط تایپی را بررسی کنید: کد ۲۰ حرف و رقم دارد. اگر درست است، از کسی که آن را به شما داده بپرسید.", "找不到此访问码。请检查有无输入错误：它由 20 个字母和数字组成。如果无误，请询问给您访问码的人。";
        code_expired: "This code has expired. Ask whoever gave it to you for a new one.", "Срок действия этого кода истёк. Попросите новый у того, кто вам его дал.", "مهلت این کد تمام شده است. از کسی که آن را به شما داده یک کد تازه بخواهید.", "此访问码已过期。请向给您访问码的人索取新的。";
        code_used_up: "All devices of this code are given out; removed ones count too. You can move a device you have to another place, or ask for a new code.", "По этому коду уже выданы все устройства; удалённые тоже считаются. Можно перенести имеющееся устройство в другое место или попросить новый код.", "همهٔ دستگاه‌های این کد استفاده شده است؛ دستگاه‌های حذف‌شده هم شمرده می‌شوند. می‌توانید یکی از دستگاه‌هایتان را به جای دیگری ببرید یا کد تازه‌ای بخواهید.", "此访问码的设备名额已用完（已删除的也计算在内）。您可以把已有设备换到其他地点，或索取新的访问码。";
        no_node: "There is no room at this place at the moment. Choose another place, or try again in a few minutes.", "Сейчас здесь всё занято. Выберите другое место или попробуйте через несколько минут.", "در حال حاضر در این مکان جایی نیست. مکان دیگری انتخاب کنید یا چند دقیقهٔ دیگر دوباره امتحان کنید.", "该地点目前没有空位。请选择其他地点，或几分钟后再试。";
        busy: "The server is busy or restarting. Wait a few seconds and try again; what you typed is still here.", "Сервер занят или перезапускается. Подождите несколько секунд и попробуйте снова; введённое сохранено.", "سرور شلوغ است یا دارد از نو راه می‌افتد. چند ثانیه صبر کنید و دوباره امتحان کنید؛ آنچه نوشته‌اید همین جا مانده است.", "服务器繁忙或正在重启。请等几秒再试；您输入的内容仍在。";
        public_key: "This is not a WireGuard public key: 44 characters that end with =. It is shown in the app beside the private key.", "Это не открытый ключ WireGuard: в нём 44 знака и в конце =. Приложение показывает его рядом с закрытым.", "این کلید عمومی وایرگارد نیست: ۴۴ نویسه است و با = تمام می‌شود. برنامه آن را کنار کلید خصوصی نشان می‌دهد.", "这不是 WireGuard 公钥：应为以 = 结尾的 44 个字符。应用会在私钥旁显示它。";
        key_taken: "This key belongs, or once belonged, to another device. Make a new pair of keys in the app, and use its public key.", "Этот ключ уже принадлежит или принадлежал другому устройству. Создайте в приложении новую пару и укажите её открытый ключ.", "این کلید از آنِ دستگاه دیگری است یا بوده است. در برنامه یک جفت کلید تازه بسازید و کلید عمومی آن را بدهید.", "此密钥已被（或曾被）其他设备使用。请在应用中生成新的密钥对并使用其公钥。";
        device_gone: "This device is not there any more; it was removed.", "Этого устройства больше нет: оно удалено.", "این دستگاه دیگر نیست؛ حذف شده است.", "此设备已不存在：已被删除。";
        no_socks5: "The place of this device has no SOCKS5 service. Add a device with the box for SOCKS5 ticked.", "В месте этого устройства нет службы SOCKS5. Добавьте устройство, отметив SOCKS5.", "در مکان این دستگاه سرویس SOCKS5 نیست. دستگاه تازه‌ای با گزینهٔ SOCKS5 بسازید.", "该设备所在地点没有 SOCKS5 服务。请添加设备并勾选 SOCKS5。";
        nothing_left: "Almost nothing is left of what this device may use, so it cannot be moved.", "От объёма этого устройства почти ничего не осталось, поэтому перенести его нельзя.", "از حجم این دستگاه تقریباً چیزی نمانده است، پس نمی‌توان آن را جابه‌جا کرد.", "该设备的流量几乎用尽，无法更换地点。";
        moved_too_often: "This device was moved as often as it can be for now. Wait until next week, or until its place is gone.", "Устройство переносили столько раз, сколько пока можно. Подождите до следующей недели или пока место не исчезнет.", "این دستگاه تا حد مجاز جابه‌جا شده است. تا هفتهٔ آینده صبر کنید، یا تا وقتی مکانش از دست برود.", "该设备的更换次数已达上限。请等到下周，或等到该地点失效。";
        signed_out: "Enter your access code first.", "Сначала введите код доступа.", "نخست کد دسترسی خود را وارد کنید.", "请先输入访问码。";
        other_site: "This request came from another site and was not carried out. Go back and press the button here.", "Запрос пришёл с другого сайта и не выполнен. Вернитесь и нажмите кнопку здесь.", "این درخواست از وبگاه دیگری آمد و انجام نشد. برگردید و دکمه را همین جا بزنید.", "该请求来自其他网站，未予执行。请返回并在本页点击按钮。";
        not_found: "There is nothing at this address.", "По этому адресу ничего нет.", "در این نشانی چیزی نیست.", "此地址没有内容。";
        internal: "Something failed on the server. Nothing was changed; try again, and tell whoever gave you the code if it happens again.", "На сервере произошла ошибка. Ничего не изменилось; попробуйте снова, а если не пройдёт, сообщите тому, кто дал вам код.", "خطایی در سرور رخ داد. چیزی عوض نشد؛ دوباره امتحان کنید و اگر باز هم نشد به کسی که کد را داده خبر دهید.", "服务器出错。未做任何更改；请重试，如仍有问题请告知给您访问码的人。";
        form: "The form was not complete. Check it and send it again.", "Форма заполнена не полностью. Проверьте и отправьте снова.", "فرم کامل نبود. آن را بررسی کنید و دوباره بفرستید.", "表单不完整。请检查后重新提交。";
        too_many: "Too many tries in a short time. Wait a minute and try again.", "Слишком много попыток подряд. Подождите минуту и попробуйте снова.", "تلاش‌های زیادی در زمان کوتاه. یک دقیقه صبر کنید و دوباره امتحان کنید.", "短时间内尝试过多。请等一分钟再试。";
    }
}

impl ProblemWords {
    /// What a person is told of a problem.
    #[must_use]
    pub fn told(&self, problem: &Problem) -> &'static str {
        let is = |kind| problem.is(kind);
        match () {
            () if is(ProblemKind::AccessCode) => self.code,
            () if is(ProblemKind::AccessCodeExpired) => self.code_expired,
            () if is(ProblemKind::AccessCodeUsedUp) => self.code_used_up,
            () if is(ProblemKind::NoNode) => self.no_node,
            () if is(ProblemKind::Busy) => self.busy,
            () if is(ProblemKind::Unauthorized) => self.signed_out,
            () if is(ProblemKind::CrossSite) => self.other_site,
            () if is(ProblemKind::NotFound) => self.not_found,
            () if is(ProblemKind::TooMany) => self.too_many,
            () if problem.status < 500 => self.form,
            () => self.internal,
        }
    }
}
