//! Texts around every page.

use super::words;

words! {
    /// Texts around every page.
    FrameWords {
        skip: "Skip to the content", "К содержанию", "پرش به محتوا", "跳到正文";
        language: "Language", "Язык", "زبان", "语言";
        sections: "Sections", "Разделы", "بخش‌ها", "栏目";
        redeem: "Access code", "Код доступа", "کد دسترسی", "访问码";
        devices: "My devices", "Мои устройства", "دستگاه‌های من", "我的设备";
        help: "Instructions", "Инструкции", "راهنما", "使用说明";
        grants: "Grants", "Гранты", "کمک‌هزینه‌ها", "资助";
        all_times_utc: "All times are in UTC; 1 GB is 1,000,000,000 bytes.", "Время везде в UTC; 1 ГБ = 1 000 000 000 байт.", "همهٔ زمان‌ها به وقت UTC است؛ ۱ گیگابایت یعنی ۱٬۰۰۰٬۰۰۰٬۰۰۰ بایت.", "时间均为 UTC；1 GB = 1,000,000,000 字节。";
        again: "Send it again", "Отправить ещё раз", "دوباره بفرست", "重新提交";
        copy: "Copy", "Копировать", "کپی", "复制";
        copied: "Copied", "Скопировано", "کپی شد", "已复制";
        copy_by_hand: "Selected: copy it with the keyboard", "Выделено: скопируйте с клавиатуры", "انتخاب شد: با صفحه‌کلید کپی کنید", "已选中：请用键盘复制";
    }
}
