//! Tables for people: aligned columns of plain text.

use wiregrant_core::Bytes;
use wiregrant_core::allotment::Period;

/// A column's head, and the side on which its cells stand.
#[derive(Debug, Clone, Copy)]
pub enum Column {
    /// Words.
    Left(&'static str),
    /// Numbers.
    Right(&'static str),
}

/// The table with its head; `none` where there are no rows.
pub fn table<const N: usize>(columns: [Column; N], rows: &[[String; N]], none: &str) -> String {
    if rows.is_empty() {
        return format!("{none}\n");
    }
    let heads = columns.map(|column| match column {
        Column::Left(head) | Column::Right(head) => head.to_owned(),
    });
    let width = |at: usize| {
        let cells = rows.iter().map(|row| row[at].chars().count());
        cells.chain([heads[at].chars().count()]).max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |cells: &[String; N]| {
        let cells: Vec<String> = (0..N)
            .map(|at| match columns[at] {
                Column::Left(_) => format!("{:<1$}", cells[at], widths[at]),
                Column::Right(_) => format!("{:>1$}", cells[at], widths[at]),
            })
            .collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    std::iter::once(&heads).chain(rows).map(line).collect()
}

/// Named facts below each other, the values aligned.
pub fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    facts.iter().map(|(name, value)| format!("{name:<width$}  {value}\n")).collect()
}

/// `1234567` as `1,234,567`.
pub fn thousands(number: impl Into<i128>) -> String {
    let number: i128 = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

/// Traffic that is given for a period, in decimal GB.
pub fn traffic(bytes: Bytes, period: Period) -> String {
    match period {
        Period::Total => bytes.to_gb(),
        Period::Month => format!("{} a month", bytes.to_gb()),
    }
}

/// The value, or a dash where there is none.
pub fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_left_and_numbers_right() {
        let rows = [["nordlicht".to_owned(), "5".to_owned()], ["a".to_owned(), "1,000".to_owned()]];
        let shown = table([Column::Left("operator"), Column::Right("sats")], &rows, "none");
        assert_eq!(shown, "operator    sats\nnordlicht      5\na          1,000\n");
        assert_eq!(table::<1>([Column::Left("operator")], &[], "no operators"), "no operators\n");
    }

    #[test]
    fn thousands_are_set_apart() {
        let shown = [0, 999, 1_000, 2_100_000_000_000_000, -1_234].map(|number: i64| thousands(number));
        assert_eq!(shown, ["0", "999", "1,000", "2,100,000,000,000,000", "-1,234"]);
    }
}
