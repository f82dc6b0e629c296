use kernel::proc::net_dev;

pub fn run(text: &str) {
    let (interfaces, odd) = net_dev::parse(text);
    assert!(interfaces.iter().all(|interface| !interface.name.is_empty() && text.contains(&interface.name)));
    assert!(odd.is_some() || interfaces.len() == text.lines().filter(|line| line.contains(':')).count());
}
