//! Charts: stacked columns as SVG, drawn by the server. One path a series, colours by class, so that themes, printing and a policy
//! without inline styles need nothing more; the numbers stand in a table beside.

use std::fmt::Write as _;

/// Series with a colour of their own; what is left is the last one's, "other".
pub const MAX_SERIES: usize = 7;
/// Columns that can still be told apart; more are drawn together.
const MAX_COLUMNS: usize = 180;
const WIDTH: u64 = 720;
const LEFT: u64 = 80;
const RIGHT: u64 = 8;
const TOP: u64 = 10;
const PLOT_HEIGHT: u64 = 210;
const PLOT_WIDTH: u64 = WIDTH - LEFT - RIGHT;
/// Lines across.
const TICKS: u64 = 4;
/// Coordinates have one decimal.
const TENTHS: u64 = 10;

/// A column to draw: its name, and a value for each series.
#[derive(Debug, Clone)]
pub struct Column {
    /// Stands below it, where there is room.
    pub name: String,
    /// In the order of the series.
    pub values: Vec<u64>,
}

/// A series, drawn.
#[derive(Debug, Clone)]
pub struct Series {
    /// The class of its colour.
    pub class: String,
    /// What it is called in the legend.
    pub name: String,
    /// Its columns, as SVG path data.
    pub path: String,
}

/// A line across, or a name below.
#[derive(Debug, Clone)]
pub struct Tick {
    /// Where, in pixels.
    pub at: u64,
    /// What it says.
    pub name: String,
}

/// Stacked columns, ready for `chart.html`.
#[derive(Debug, Clone)]
pub struct Chart {
    /// Series in the order in which they are stacked.
    pub series: Vec<Series>,
    /// Lines across.
    pub lines: Vec<Tick>,
    /// Names below.
    pub names: Vec<Tick>,
    /// How many columns stand for one when there are too many; 1 otherwise.
    pub grouped_by: usize,
}

impl Chart {
    /// Width of the drawing.
    pub const WIDTH: u64 = WIDTH;
    /// Height of the drawing.
    pub const HEIGHT: u64 = TOP + PLOT_HEIGHT + 24;
    /// Where columns begin.
    pub const LEFT: u64 = LEFT;
    /// Where they end.
    pub const END: u64 = WIDTH - RIGHT;
    /// What they stand on.
    pub const BASE: u64 = TOP + PLOT_HEIGHT;

    /// Draws columns, the oldest first; `amount` says a value in words.
    #[must_use]
    pub fn stacked(series: &[String], columns: &[Column], amount: impl Fn(u64) -> String) -> Self {
        let grouped_by = columns.len().div_ceil(MAX_COLUMNS).max(1);
        let columns: Vec<Column> = columns.chunks(grouped_by).map(together).collect();
        let highest = columns.iter().map(|column| total(&column.values)).max().unwrap_or(0);
        let top = round_up(highest.max(1));
        let count = u64::try_from(columns.len()).unwrap_or(u64::MAX).max(1);
        let step = PLOT_WIDTH * TENTHS / count;
        let gap = if step >= 6 * TENTHS { step / 5 } else { step / 10 };
        let mut paths = vec![String::new(); series.len()];
        for (at, column) in (0..).zip(&columns) {
            let x = LEFT * TENTHS + at * step + gap / 2;
            let mut below = 0_u64;
            for (path, value) in paths.iter_mut().zip(&column.values) {
                let (from, to) = (height(below, top), height(below.saturating_add(*value), top));
                below = below.saturating_add(*value);
                if to > from {
                    let y = (TOP + PLOT_HEIGHT) * TENTHS - to;
                    write!(
                        path,
                        "M{} {}h{}v{}h-{}z",
                        tenths(x),
                        tenths(y),
                        tenths(step - gap),
                        tenths(to - from),
                        tenths(step - gap)
                    )
                    .expect("writing to a string does not fail");
                }
            }
        }
        let series = series.iter().zip(paths).enumerate();
        Self {
            series: series
                .map(|(at, (name, path))| Series { class: class(at), name: name.clone(), path })
                .collect(),
            lines: (0..=TICKS)
                .map(|n| {
                    let value =
                        u64::try_from(u128::from(top) * u128::from(n) / u128::from(TICKS)).unwrap_or(top);
                    Tick { at: TOP + PLOT_HEIGHT - PLOT_HEIGHT * n / TICKS, name: amount(value) }
                })
                .collect(),
            names: names(&columns, step),
            grouped_by,
        }
    }
}

/// The class of the colour of the n-th series.
#[must_use]
pub fn class(at: usize) -> String {
    format!("s{}", at % MAX_SERIES + 1)
}

fn together(columns: &[Column]) -> Column {
    let width = columns.iter().map(|column| column.values.len()).max().unwrap_or(0);
    let sum = |n: usize| {
        columns.iter().filter_map(|column| column.values.get(n)).fold(0_u64, |sum, v| sum.saturating_add(*v))
    };
    Column {
        name: columns.first().map(|column| column.name.clone()).unwrap_or_default(),
        values: (0..width).map(sum).collect(),
    }
}

fn total(values: &[u64]) -> u64 {
    values.iter().fold(0, |sum, value| sum.saturating_add(*value))
}

/// The next 1, 2, 2.5 or 5 times a power of ten, so that the lines across have round names.
fn round_up(value: u64) -> u64 {
    let mut power = 1_u64;
    loop {
        for step in [power, power.saturating_mul(2), power.saturating_mul(5) / 2, power.saturating_mul(5)] {
            if step >= value {
                return step;
            }
        }
        match power.checked_mul(10) {
            Some(next) => power = next,
            None => return u64::MAX,
        }
    }
}

/// In tenths of a pixel.
fn height(value: u64, top: u64) -> u64 {
    let height = u128::from(value) * u128::from(PLOT_HEIGHT * TENTHS) / u128::from(top.max(1));
    u64::try_from(height).unwrap_or(PLOT_HEIGHT * TENTHS)
}

fn tenths(value: u64) -> String {
    match value % TENTHS {
        0 => (value / TENTHS).to_string(),
        rest => format!("{}.{rest}", value / TENTHS),
    }
}

/// As many names as do not touch each other; columns of one name are named at the first of them.
fn names(columns: &[Column], step: u64) -> Vec<Tick> {
    const NAME_WIDTH: u64 = 80;
    let mut names: Vec<Tick> = Vec::new();
    let mut before = None;
    for (n, column) in (0_u64..).zip(columns) {
        let at = LEFT + (n * step + step / 2) / TENTHS;
        let has_room = names.last().is_none_or(|last| at >= last.at + NAME_WIDTH);
        if has_room && before != Some(&column.name) {
            names.push(Tick { at, name: column.name.clone() });
        }
        before = Some(&column.name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chart(values: &[Vec<u64>]) -> Chart {
        let columns: Vec<Column> =
            values.iter().map(|values| Column { name: "x".to_owned(), values: values.clone() }).collect();
        let series: Vec<String> = (0..values.first().map_or(0, Vec::len)).map(|n| n.to_string()).collect();
        Chart::stacked(&series, &columns, |value| value.to_string())
    }

    #[test]
    fn series_stand_on_each_other_and_reach_the_height_that_is_theirs() {
        let chart = chart(&[vec![50, 50], vec![0, 100]]);
        assert_eq!(chart.lines.last().unwrap().name, "100");
        assert_eq!(chart.series[0].path, "M111.6 115h252.8v105h-252.8z");
        assert_eq!(chart.series[1].path, "M111.6 10h252.8v105h-252.8zM427.6 10h252.8v210h-252.8z");
    }

    #[test]
    fn too_many_columns_are_drawn_together() {
        let chart = chart(&vec![vec![1]; MAX_COLUMNS * 2 + 1]);
        assert_eq!((chart.grouped_by, chart.series[0].path.matches('M').count()), (3, 121));
    }

    #[test]
    fn the_hours_of_a_day_are_named_once_where_it_begins() {
        let hours = (0..168).map(|hour| Column { name: format!("day {}", (hour + 4) / 24), values: vec![1] });
        let chart = Chart::stacked(&["x".to_owned()], &hours.collect::<Vec<_>>(), |value| value.to_string());
        let names: Vec<&str> = chart.names.iter().map(|tick| tick.name.as_str()).collect();
        assert_eq!(names, ["day 0", "day 2", "day 3", "day 4", "day 5", "day 6", "day 7"]);
        assert!(chart.names.windows(2).all(|pair| pair[1].at >= pair[0].at + 80), "{:?}", chart.names);
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert!(chart(&[]).series.is_empty());
        assert_eq!(chart(&[vec![0]]).series[0].path, "");
    }

    proptest! {
        #[test]
        fn no_values_make_the_drawing_panic(values in proptest::collection::vec(proptest::collection::vec(any::<u64>(), 3), 0..400)) {
            let _ = chart(&values);
        }
    }
}
