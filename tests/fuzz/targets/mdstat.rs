use kernel::proc::mdstat::{self, Progress};

pub fn run(text: &str) {
    let (arrays, _) = mdstat::parse(text);
    assert!(arrays.iter().all(|array| text.contains(&array.name)));
    for sync in arrays.into_iter().filter_map(|array| array.sync) {
        if let Progress::Running { ratio, finish, .. } = sync.progress {
            assert!((0.0..=1.0).contains(&ratio) && finish.is_none_or(f64::is_finite));
        }
    }
}
