//! Allocation rule 2: pro rata to units, under a ceiling and shares, filled like water.
//!
//! The units of one operator at one site are a *cell*. A level rises, in sats a unit and the same for all cells. A cell stops
//! at the level at which a bound that holds it is full: its operator's share of the pot, its site's share, the ceiling, or the
//! pot. Whoever stops at level `l` with `u` units has `floor(u * l)` sats; then the sats that the rounding left over go one each
//! to the largest remainders `u * l - floor(u * l)` among cells whose bounds have room for one, equal remainders by hash as in
//! rule 1 and then by the site's number. Where nothing is bound it is rule 1, to the sat.
//!
//! In integers throughout: a level is a fraction, and a bound that cells have left counts what they have, not what they had by
//! right, so that no sum ever passes its bound.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};

use sha2::{Digest, Sha256};
use wiregrant_core::terms::Terms;
use wiregrant_core::{GrantId, OperatorId, Sats, Units};

/// What bounds the split of one pot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Sats a unit; `None` for no ceiling.
    pub ceiling: Option<u64>,
    /// Sats of one operator; `None` for no bound.
    pub operator: Option<u64>,
    /// Sats of one site; `None` for no bound.
    pub site: Option<u64>,
}

impl Bounds {
    /// The bounds that `terms` set for a pot. A share is rounded down.
    #[must_use]
    pub fn of(terms: &Terms, pot: Sats) -> Self {
        let share = |percent: u64| (percent < 100).then(|| share_of(pot, percent));
        let ceiling = terms.ceiling_sats_per_unit.get();
        Self {
            ceiling: (ceiling > 0).then_some(ceiling),
            operator: share(terms.operator_share_percent),
            site: share(terms.site_share_percent),
        }
    }
}

fn share_of(pot: Sats, percent: u64) -> u64 {
    let part = u128::from(pot.get()) * u128::from(percent) / 100;
    u64::try_from(part).expect("a part of the pot is at most the pot")
}

/// A level: so many sats for so many units. The second is never 0.
#[derive(Debug, Clone, Copy)]
struct Level(u128, u128);

impl Level {
    /// Whole sats of so many units, and what is left of the last one, as the numerator over this level's units.
    fn of(self, units: u64) -> (u64, u128) {
        // At most 2^63 x 2^51: a level's sats are what a bound has left.
        let product = u128::from(units) * self.0;
        let floor = product / self.1;
        (u64::try_from(floor).expect("a cell's sats are at most the pot"), product - floor * self.1)
    }
}

impl PartialEq for Level {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Level {}
impl PartialOrd for Level {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Level {
    fn cmp(&self, other: &Self) -> Ordering {
        compare((self.0, self.1), (other.0, other.1))
    }
}

/// Compares two fractions exactly, whatever their size.
fn compare(a: (u128, u128), b: (u128, u128)) -> Ordering {
    // Nearly all stop at one level, or have sums of 64 bits: these are most of the work of a large split.
    if a.1 == b.1 {
        return a.0.cmp(&b.0);
    }
    if (a.0 | a.1 | b.0 | b.1) >> 64 == 0 {
        return (a.0 * b.1).cmp(&(b.0 * a.1));
    }
    if let (Some(left), Some(right)) = (a.0.checked_mul(b.1), b.0.checked_mul(a.1)) {
        return left.cmp(&right);
    }
    // Euclid's: whole parts first, then the reciprocals of what is left, the other way round.
    match (a.0 / a.1).cmp(&(b.0 / b.1)) {
        Ordering::Equal => match (a.0 % a.1, b.0 % b.1) {
            (0, 0) => Ordering::Equal,
            (0, _) => Ordering::Less,
            (_, 0) => Ordering::Greater,
            (left, right) => compare((b.1, right), (a.1, left)),
        },
        whole => whole,
    }
}

/// The units of an operator at a site, and what they have earned once their level has stopped.
struct Cell {
    operator: usize,
    site: u64,
    units: u64,
    /// The bounds that hold it: the pot, its operator's share, its site's.
    held_by: [usize; 3],
    stopped: Option<Stopped>,
}

struct Stopped {
    sats: u64,
    /// What the rounding took, as a fraction of a sat.
    remainder: (u128, u128),
}

/// What holds several cells together.
struct Bound {
    most: u64,
    /// What its cells that have stopped have.
    taken: u64,
    /// Units of its cells that rise.
    rising: u128,
    cells: Vec<usize>,
}

impl Bound {
    fn new(most: u64) -> Self {
        Self { most, taken: 0, rising: 0, cells: Vec::new() }
    }

    /// The level at which it is full; `None` when nothing in it rises.
    fn level(&self) -> Option<Level> {
        (self.rising > 0).then(|| Level(u128::from(self.most - self.taken), self.rising))
    }
}

/// Where the pot stands among the bounds.
const POT: usize = 0;

/// Sats earned, by operator; together at most the pot.
///
/// `nodes` are published units with their operator and site. One operator's sum fits [`Units`], as
/// [`wiregrant_core::statement::Statement::units_by_operator`] checks.
#[must_use]
pub fn earn<'a>(
    pot: Sats,
    grant: &GrantId,
    epoch: u64,
    bounds: Bounds,
    nodes: impl IntoIterator<Item = (&'a OperatorId, u64, Units)>,
) -> BTreeMap<&'a OperatorId, Sats> {
    let (operators, mut basin) = Basin::new(pot, bounds, nodes);
    basin.fill();
    basin.give_out_the_rest(grant, epoch, &operators);
    let mut earned: Vec<u64> = vec![0; operators.len()];
    for cell in &basin.cells {
        earned[cell.operator] += cell.stopped.as_ref().map_or(0, |stopped| stopped.sats);
    }
    let sats = |sats| Sats::new(sats).expect("nobody earns more than the pot");
    operators.into_iter().zip(earned.into_iter().map(sats)).collect()
}

/// The split under way.
struct Basin {
    cells: Vec<Cell>,
    /// The pot, then the operators' shares, then the sites'.
    bounds: Vec<Bound>,
    ceiling: Option<u64>,
}

impl Basin {
    fn new<'a>(
        pot: Sats,
        bounds: Bounds,
        nodes: impl IntoIterator<Item = (&'a OperatorId, u64, Units)>,
    ) -> (Vec<&'a OperatorId>, Self) {
        let merged = merged(bounds, nodes);
        let mut operators: Vec<&OperatorId> = merged.iter().map(|(operator, ..)| *operator).collect();
        operators.dedup();
        let mut sites: Vec<u64> = merged.iter().map(|(_, site, _)| *site).collect();
        sites.sort_unstable();
        sites.dedup();
        let share = |most: Option<u64>| Bound::new(most.unwrap_or(pot.get()));
        let mut basin = Self {
            cells: Vec::with_capacity(merged.len()),
            bounds: std::iter::once(Bound::new(pot.get()))
                .chain(operators.iter().map(|_| share(bounds.operator)))
                .chain(sites.iter().map(|_| share(bounds.site)))
                .collect(),
            ceiling: bounds.ceiling,
        };
        let mut operator = 0;
        for (id, site, units) in merged {
            operator += usize::from(operators[operator] != id);
            let at = sites.binary_search(&site).expect("every site is among them");
            let held_by = [POT, 1 + operator, 1 + operators.len() + at];
            for bound in held_by {
                basin.bounds[bound].rising += u128::from(units);
                basin.bounds[bound].cells.push(basin.cells.len());
            }
            basin.cells.push(Cell { operator, site, units, held_by, stopped: None });
        }
        (operators, basin)
    }

    /// Raises the level until every cell has stopped. Full bounds of one level stop together, so that it does not matter
    /// in which order they are looked at. A bound's level never falls while others stop (they take no more than the level so
    /// far gives them), so a heap whose entries are looked at again when they come up finds the lowest.
    fn fill(&mut self) {
        let levels = (0..self.bounds.len()).filter_map(|at| Some(Reverse((self.bounds[at].level()?, at))));
        let mut heap: BinaryHeap<_> = levels.collect();
        let ceiling = self.ceiling.map(|sats| Level(u128::from(sats), 1));
        while let Some(Reverse((level, at))) = heap.pop() {
            // Every cell has stopped; what the heap still holds has nothing to say.
            if self.bounds[POT].rising == 0 {
                return;
            }
            match self.bounds[at].level() {
                None => continue,
                Some(now) if now != level => {
                    heap.push(Reverse((now, at)));
                    continue;
                }
                Some(_) => {}
            }
            if let Some(ceiling) = ceiling.filter(|ceiling| *ceiling <= level) {
                self.stop(POT, ceiling);
                return;
            }
            let mut full = vec![at];
            while heap.peek().is_some_and(|Reverse((next, _))| *next == level) {
                let Some(Reverse((_, other))) = heap.pop() else { break };
                match self.bounds[other].level() {
                    Some(now) if now == level => full.push(other),
                    Some(now) => heap.push(Reverse((now, other))),
                    None => {}
                }
            }
            for bound in full {
                self.stop(bound, level);
            }
        }
    }

    /// Stops the cells of a bound that still rise.
    fn stop(&mut self, bound: usize, level: Level) {
        for place in std::mem::take(&mut self.bounds[bound].cells) {
            let cell = &mut self.cells[place];
            if cell.stopped.is_some() {
                continue;
            }
            let (sats, remainder) = level.of(cell.units);
            cell.stopped = Some(Stopped { sats, remainder: (remainder, level.1) });
            for held in cell.held_by {
                self.bounds[held].taken += sats;
                self.bounds[held].rising -= u128::from(cell.units);
            }
        }
    }

    /// One sat each to the largest remainders that have room for it, while the pot lasts.
    fn give_out_the_rest(&mut self, grant: &GrantId, epoch: u64, operators: &[&OperatorId]) {
        // Remainders lie beside their places: through them, a large sort would spend its time waiting for memory.
        let remainder = |(at, cell): (usize, &Cell)| Some((cell.stopped.as_ref()?.remainder, at));
        let mut places: Vec<((u128, u128), usize)> =
            self.cells.iter().enumerate().filter_map(remainder).filter(|(of, _)| of.0 > 0).collect();
        places.sort_unstable_by(|a, b| compare(b.0, a.0));
        let runs = places.chunk_by(|a, b| compare(a.0, b.0) == Ordering::Equal);
        let runs: Vec<Vec<usize>> = runs.map(|run| run.iter().map(|(_, at)| *at).collect()).collect();
        for mut run in runs {
            if self.bounds[POT].taken == self.bounds[POT].most {
                return;
            }
            // Hashes cost more than all the rest, so that they are made only where they decide: not where all of the run get one.
            let has_room = |held: &usize| {
                let bound = &self.bounds[*held];
                bound.most - bound.taken >= run.len() as u64
            };
            if !run.iter().all(|at| self.cells[*at].held_by.iter().all(has_room)) {
                let prefix = Sha256::new().chain_update(format!("{grant}\n{epoch}\n"));
                run.sort_by_cached_key(|at| {
                    let cell = &self.cells[*at];
                    let hash: [u8; 32] =
                        prefix.clone().chain_update(operators[cell.operator].as_str()).finalize().into();
                    (hash, cell.site)
                });
            }
            run.into_iter().for_each(|place| self.give_one(place));
        }
    }

    fn give_one(&mut self, place: usize) {
        let cell = &mut self.cells[place];
        let has_room = cell.held_by.iter().all(|held| self.bounds[*held].taken < self.bounds[*held].most);
        if let (true, Some(stopped)) = (has_room, &mut cell.stopped) {
            stopped.sats += 1;
            cell.held_by.iter().for_each(|held| self.bounds[*held].taken += 1);
        }
    }
}

/// Units by operator and site, in this order. Without a bound on sites all of an operator's are one.
fn merged<'a>(
    bounds: Bounds,
    nodes: impl IntoIterator<Item = (&'a OperatorId, u64, Units)>,
) -> Vec<(&'a OperatorId, u64, u64)> {
    let site_of = |site: u64| bounds.site.map_or(0, |_| site);
    let mut merged: Vec<(&OperatorId, u64, u64)> =
        nodes.into_iter().map(|(operator, site, units)| (operator, site_of(site), units.get())).collect();
    merged.sort_unstable();
    merged.dedup_by(|next, kept| {
        let same = (next.0, next.1) == (kept.0, kept.1);
        if same {
            kept.2 = kept.2.saturating_add(next.2);
        }
        same
    });
    merged
}

#[cfg(test)]
mod tests;
