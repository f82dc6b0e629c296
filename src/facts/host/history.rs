//! What the sampler keeps: every five seconds for an hour, then a minute's least, mean and most for a day.

use std::{collections::BTreeMap, time::Duration};

use super::TICK;

/// Ticks kept one by one: an hour.
const TICKS: usize = 720;

/// Ticks in a minute.
const MINUTE: usize = 12;

/// Minutes kept: a day.
const MINUTES: usize = 1440;

/// Series kept. On a machine with more disks and interfaces than this the first ones stay, until one of them is gone for a minute.
const MOST: usize = 256;

/// Numbers kept of a series: its ticks, and the least, mean and most of its minutes.
const EACH: usize = TICKS + 3 * MINUTES;

/// The past of every series. All of them have the same ticks: a series that had no value in one has nothing there.
#[derive(Debug)]
pub struct History {
    series: BTreeMap<String, Series>,
    /// The numbers of all series ([`Short`]), one after the other, in rings that all turn together. Zero is nothing, and asked for as zero
    /// (calloc, which for a type of our own is up to the optimiser): so the system only gives what is written to.
    kept: Vec<[u8; 3]>,
    /// How many ticks have passed since the first.
    ticks: u64,
    last: Option<Duration>,
}

/// One series.
#[derive(Debug)]
struct Series {
    /// Where its numbers are: no other has this one.
    place: usize,
    /// The last tick in which it had a value.
    seen: u64,
}

/// A number that is not negative, in three bytes: an f32 without sign and without the last seven bits of its fraction. 17 bits remain,
/// which is one digit more than the four that are ever shown; whole numbers are exact up to 131,072. Zeroed bytes are no number.
#[derive(Clone, Copy, Debug)]
struct Short([u8; 3]);

impl Short {
    const NOTHING: Self = Self([0; 3]);

    fn of(value: f32) -> Self {
        if value.is_nan() {
            return Self::NOTHING;
        }
        // rounded; above 0 floats are in the order of their bits
        let bits = ((value.max(0.0).to_bits() + (1 << 6)) >> 7) + 1;
        let [first, second, third, _] = bits.to_le_bytes();
        Self([first, second, third])
    }

    /// NaN if it is none.
    fn value(self) -> f32 {
        let Self([first, second, third]) = self;
        match u32::from_le_bytes([first, second, third, 0]) {
            0 => f32::NAN,
            bits => f32::from_bits((bits - 1) << 7),
        }
    }
}

/// The values of a stretch of time in short.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    min: f32,
    avg: f32,
    max: f32,
}

/// What a series did over a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The least value.
    pub min: f64,
    /// The mean.
    pub avg: f64,
    /// What 95 % of the values stay below (of minutes: of their means).
    pub p95: f64,
    /// The most.
    pub max: f64,
    /// The last there was.
    pub last: f64,
    /// The means of equal parts of the window, oldest first. `None`: nothing is known of that part.
    pub parts: Vec<Option<f64>>,
}

/// The part of a window that there is something of, the same for all series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Covered {
    /// Its length in seconds: what was asked for, or as far back as there is.
    pub seconds: u64,
    /// How far apart the values are that it is made from, in seconds: 5, or 60 when it begins before the last hour.
    pub resolution: u64,
    /// Ticks, if they reach.
    ticks: Option<usize>,
    /// Else whole minutes.
    minutes: usize,
}

impl Default for History {
    fn default() -> Self {
        Self { series: BTreeMap::new(), kept: vec![[0; 3]; MOST * EACH], ticks: 0, last: None }
    }
}

impl History {
    /// Adds one tick's values.
    pub fn push(&mut self, at: Duration, values: &[(String, f64)]) {
        // the machine slept, or the server could not run: those ticks are there and hold nothing
        let missed = self.last.map_or(0, |last| {
            let ticks = at.saturating_sub(last).as_secs_f64() / TICK.as_secs_f64();
            (ticks.round() as usize).saturating_sub(1).min(MINUTES * MINUTE)
        });
        self.last = Some(at);
        for _ in 0..missed {
            self.tick(&[]);
        }
        self.tick(values);
    }

    fn tick(&mut self, values: &[(String, f64)]) {
        let tick = (self.ticks % TICKS as u64) as usize;
        self.ticks += 1;
        for series in self.series.values() {
            self.kept[series.place * EACH + tick] = Short::NOTHING.0;
        }
        for (name, value) in values {
            if let Some(place) = self.room(name) {
                self.kept[place * EACH + tick] = Short::of(*value as f32).0;
            }
        }
        if self.ticks.is_multiple_of(MINUTE as u64) {
            let minute = ((self.ticks / MINUTE as u64 - 1) % MINUTES as u64) as usize;
            for series in self.series.values() {
                let point = Point::of(self.latest(series, MINUTE));
                let at = series.place * EACH + TICKS + 3 * minute;
                self.kept[at..at + 3]
                    .copy_from_slice(&[point.min, point.avg, point.max].map(|number| Short::of(number).0));
            }
        }
        // what was gone for all of a day has nothing left to tell
        let ticks = self.ticks;
        self.series.retain(|_, series| ticks - series.seen < (MINUTES * MINUTE) as u64);
    }

    /// The place of the series of this name, which has no value in this tick yet. `None`: there are too many, or it was given twice.
    fn room(&mut self, name: &str) -> Option<usize> {
        if let Some(series) = self.series.get_mut(name) {
            let first = std::mem::replace(&mut series.seen, self.ticks) != self.ticks;
            return first.then_some(series.place);
        }
        if self.series.len() == MOST {
            // interfaces of containers come and go all day; the one that is gone for longest makes room
            let (gone, seen) = self.series.iter().min_by_key(|(_, series)| series.seen)?;
            if self.ticks - seen.seen <= MINUTE as u64 {
                return None;
            }
            let gone = gone.clone();
            self.series.remove(&gone);
        }
        let mut taken = [false; MOST];
        self.series.values().for_each(|series| taken[series.place] = true);
        let place = taken.iter().position(|taken| !taken)?;
        // of another that is gone; what is nothing already is not touched
        for left in &mut self.kept[place * EACH..(place + 1) * EACH] {
            if !Short(*left).value().is_nan() {
                *left = Short::NOTHING.0;
            }
        }
        self.series.insert(name.to_owned(), Series { place, seen: self.ticks });
        Some(place)
    }

    /// The last `count` ticks of a series, oldest first.
    fn latest(&self, series: &Series, count: usize) -> impl DoubleEndedIterator<Item = f32> + Clone {
        let ring = &self.kept[series.place * EACH..][..TICKS];
        last(self.ticks, count).map(|tick| tick.map_or(f32::NAN, |tick| Short(ring[tick % TICKS]).value()))
    }

    /// The last `count` full minutes of a series, oldest first.
    fn minutes(&self, series: &Series, count: usize) -> impl Iterator<Item = Point> {
        let ring = &self.kept[series.place * EACH + TICKS..][..3 * MINUTES];
        last(self.ticks / MINUTE as u64, count).map(|minute| {
            let at = minute.map(|minute| minute % MINUTES * 3);
            let number = |n: usize| at.map_or(f32::NAN, |at| Short(ring[at + n]).value());
            Point { min: number(0), avg: number(1), max: number(2) }
        })
    }

    /// The names of all series, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.series.keys().map(String::as_str)
    }

    /// How much of the last `window` there is. `None`: nothing yet.
    pub fn covered(&self, window: Duration) -> Option<Covered> {
        let have = usize::try_from(self.ticks).unwrap_or(usize::MAX);
        let ticks = have.min((window.as_secs().div_ceil(TICK.as_secs()) as usize).max(1));
        if ticks == 0 {
            return None;
        }
        if ticks <= TICKS {
            let seconds = ticks as u64 * TICK.as_secs();
            return Some(Covered { seconds, resolution: TICK.as_secs(), ticks: Some(ticks), minutes: 0 });
        }
        // the minute that is not over counts as well: a peak of just now is one
        let minutes = (ticks / MINUTE).min(MINUTES);
        let seconds = ((minutes * MINUTE + self.unfinished()) as u64 * TICK.as_secs()).min(window.as_secs());
        Some(Covered { seconds, resolution: MINUTE as u64 * TICK.as_secs(), ticks: None, minutes })
    }

    /// Ticks since the last full minute.
    fn unfinished(&self) -> usize {
        (self.ticks % MINUTE as u64) as usize
    }

    /// What a series did over `covered`, in `parts` equal parts (fewer, if there are fewer values). `None`: there is no such series, or
    /// it has no value there.
    pub fn summary(&self, name: &str, covered: Covered, parts: usize) -> Option<Summary> {
        let series = self.series.get(name)?;
        let points: Vec<Point> = match covered.ticks {
            Some(ticks) => self.latest(series, ticks).map(Point::one).collect(),
            None => {
                let now = (self.unfinished() > 0).then(|| Point::of(self.latest(series, self.unfinished())));
                self.minutes(series, covered.minutes).chain(now).collect()
            }
        };
        let known: Vec<Point> = points.iter().copied().filter(|point| !point.avg.is_nan()).collect();
        let last = self.latest(series, TICKS).rev().find(|value| !value.is_nan());
        let mut sorted: Vec<f32> = known.iter().map(|point| point.avg).collect();
        sorted.sort_unstable_by(f32::total_cmp);
        let p95 = *sorted.get((sorted.len() * 95).div_ceil(100).checked_sub(1)?)?;
        let parts = parts.clamp(1, points.len());
        let part = |n: usize| &points[n * points.len() / parts..(n + 1) * points.len() / parts];
        Some(Summary {
            min: known.iter().map(|point| point.min).fold(f32::INFINITY, f32::min).into(),
            avg: mean(known.iter().map(|point| point.avg))?,
            p95: p95.into(),
            max: known.iter().map(|point| point.max).fold(f32::NEG_INFINITY, f32::max).into(),
            last: last.or(known.last().map(|point| point.avg))?.into(),
            parts: (0..parts).map(|n| mean(part(n).iter().map(|point| point.avg))).collect(),
        })
    }
}

/// The numbers of the last `count` of `all`, from 0; `None` for those before the first.
fn last(all: u64, count: usize) -> impl DoubleEndedIterator<Item = Option<usize>> + Clone {
    (1..=count).rev().map(move |back| usize::try_from(all).ok()?.checked_sub(back))
}

impl Point {
    const NOTHING: Self = Self { min: f32::NAN, avg: f32::NAN, max: f32::NAN };

    fn one(value: f32) -> Self {
        Self { min: value, avg: value, max: value }
    }

    fn of(values: impl Iterator<Item = f32> + Clone) -> Self {
        let Some(avg) = mean(values.clone()) else { return Self::NOTHING };
        let known = values.filter(|value| !value.is_nan());
        Self {
            min: known.clone().fold(f32::INFINITY, f32::min),
            avg: avg as f32,
            max: known.fold(f32::NEG_INFINITY, f32::max),
        }
    }
}

/// The mean of what is known.
fn mean(values: impl Iterator<Item = f32>) -> Option<f64> {
    let (sum, count) = values
        .filter(|value| !value.is_nan())
        .fold((0.0, 0_u32), |(sum, count), value| (sum + f64::from(value), count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(history: &mut History, ticks: u64, value: impl Fn(u64) -> f64) {
        let from = history.ticks;
        for n in from..from + ticks {
            history.push(TICK * n as u32, &[("x".to_owned(), value(n))]);
        }
    }

    fn summary(history: &History, window: u64, parts: usize) -> (Covered, Summary) {
        let covered = history.covered(Duration::from_secs(window)).unwrap();
        (covered, history.summary("x", covered, parts).unwrap())
    }

    #[test]
    fn a_minute_keeps_its_least_mean_and_most() {
        let mut history = History::default();
        fill(&mut history, 12, |n| n as f64);
        let minute = history.minutes(&history.series["x"], 1).collect::<Vec<_>>();
        assert_eq!(minute, [Point { min: 0.0, avg: 5.5, max: 11.0 }]);
    }

    #[test]
    fn an_hour_is_exact_and_a_day_is_by_minutes() {
        let mut history = History::default();
        fill(&mut history, 12 * 60 * 3, |n| n as f64);
        let (covered, hour) = summary(&history, 3600, 6);
        assert_eq!((covered.seconds, covered.resolution, hour.last), (3600, 5, 2159.0));
        assert_eq!((hour.min, hour.max, hour.p95), (1440.0, 2159.0, 2123.0));
        assert_eq!(hour.parts.len(), 6);
        let (covered, day) = summary(&history, 86_400, 24);
        assert_eq!((covered.seconds, covered.resolution), (3 * 3600, 60));
        assert_eq!((day.min, day.max, day.last), (0.0, 2159.0, 2159.0));
    }

    #[test]
    fn a_day_knows_of_a_moment_ago() {
        let mut history = History::default();
        fill(&mut history, 12 * 60 * 25 + 5, |n| if n == 12 * 60 * 25 + 4 { 9.0 } else { 1.0 });
        let (covered, day) = summary(&history, 86_400, 24);
        assert_eq!((covered.seconds, covered.resolution), (86_400, 60));
        assert_eq!((day.max, day.last), (9.0, 9.0));
    }

    #[test]
    fn a_server_that_began_just_now_has_what_it_has() {
        let mut history = History::default();
        assert_eq!(history.covered(Duration::from_secs(3600)), None);
        fill(&mut history, 3, |n| n as f64);
        let (covered, day) = summary(&history, 86_400, 30);
        assert_eq!((covered.seconds, covered.resolution), (15, 5));
        assert_eq!(day.parts, [Some(0.0), Some(1.0), Some(2.0)]);
    }

    #[test]
    fn a_sleep_leaves_a_hole_and_no_zero() {
        let mut history = History::default();
        history.push(Duration::from_secs(5), &[("x".to_owned(), 4.0)]);
        history.push(Duration::from_secs(65), &[("x".to_owned(), 6.0)]);
        let (covered, summary) = summary(&history, 600, 13);
        assert_eq!((covered.seconds, summary.min, summary.avg), (65, 4.0, 5.0));
        assert_eq!(summary.parts.iter().flatten().count(), 2);
    }

    #[test]
    fn a_series_that_came_later_is_unknown_before() {
        let mut history = History::default();
        history.push(TICK, &[("y".to_owned(), 1.0)]);
        history.push(TICK * 2, &[("y".to_owned(), 1.0), ("x".to_owned(), 7.0)]);
        let (covered, summary) = summary(&history, 60, 2);
        assert_eq!((covered.seconds, summary.parts), (10, vec![None, Some(7.0)]));
        let old = history.covered(TICK).unwrap();
        history.push(TICK * 3, &[("y".to_owned(), 1.0)]);
        assert_eq!(history.summary("x", old, 1), None);
    }

    #[test]
    fn a_name_given_twice_counts_once() {
        let mut history = History::default();
        history.push(TICK, &[("x".to_owned(), 1.0), ("x".to_owned(), 3.0)]);
        assert_eq!(history.latest(&history.series["x"], 1).collect::<Vec<_>>(), [1.0]);
    }

    #[test]
    fn a_series_that_is_gone_for_a_day_is_forgotten() {
        let mut history = History::default();
        history.push(Duration::ZERO, &[("gone".to_owned(), 1.0)]);
        fill(&mut history, (MINUTES * MINUTE) as u64, |_| 1.0);
        assert_eq!(history.names().collect::<Vec<_>>(), ["x"]);
        // whoever comes next has that place, and nothing of what was there
        let at = TICK * (MINUTES * MINUTE) as u32;
        history.push(at, &[("new".to_owned(), 2.0), ("x".to_owned(), 1.0)]);
        assert_eq!(history.series["new"].place, 0);
        for window in [TICK * 12, Duration::from_secs(86_400)] {
            let new = history.summary("new", history.covered(window).unwrap(), 1).unwrap();
            assert_eq!((new.min, new.max), (2.0, 2.0));
        }
    }

    #[test]
    fn ten_thousand_series_are_not_kept() {
        let mut history = History::default();
        let many: Vec<_> = (0..10_000).map(|n| (format!("s{n}"), 1.0)).collect();
        history.push(TICK, &many);
        assert_eq!(history.names().count(), MOST);
    }

    #[test]
    fn the_series_that_is_gone_for_longest_makes_room() {
        let mut history = History::default();
        let many: Vec<_> = (0..MOST).map(|n| (format!("s{n}"), 1.0)).collect();
        history.push(TICK, &many);
        for n in 2..20 {
            history.push(TICK * n, &many[1..]);
        }
        history.push(TICK * 20, &[("new".to_owned(), 1.0)]);
        assert_eq!(history.names().count(), MOST);
        assert!(history.names().any(|name| name == "new") && history.names().all(|name| name != "s0"));
    }

    #[test]
    fn three_bytes_hold_more_than_the_four_digits_that_are_shown() {
        let mut value = 1e-9_f32;
        while value < 1e18 {
            let kept = Short::of(value).value();
            assert!((kept - value).abs() <= value * 7.7e-6, "{value} became {kept}");
            value *= 1.000_37;
        }
        for whole in (0..=131_072_u32).step_by(13).chain([131_071, 131_072]) {
            assert_eq!(Short::of(whole as f32).value(), whole as f32);
        }
        assert!(Short::of(f32::NAN).value().is_nan() && Short::NOTHING.value().is_nan());
        assert_eq!((Short::of(-0.0).value(), Short::of(f32::INFINITY).value()), (0.0, f32::INFINITY));
        assert!(Short::of(f32::MAX).value().is_infinite());
    }

    #[test]
    fn rings_turn_more_than_once() {
        let mut history = History::default();
        fill(&mut history, (2 * MINUTES * MINUTE + TICKS + 7) as u64, |n| (n % 100_000) as f64);
        let ticks = history.ticks - 1;
        let (_, hour) = summary(&history, 3600, 720);
        let expected: Vec<_> = (0..720).rev().map(|back| Some(((ticks - back) % 100_000) as f64)).collect();
        assert_eq!((hour.parts, hour.last), (expected, (ticks % 100_000) as f64));
        let (covered, day) = summary(&history, 86_400, 24);
        assert_eq!((covered.seconds, day.max), (86_400, (ticks % 100_000) as f64));
        assert_eq!(day.min, (ticks - 6 - (MINUTES * MINUTE) as u64) as f64);
    }
}
