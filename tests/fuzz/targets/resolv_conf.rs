use kernel::proc::resolv_conf::ResolvConf;

pub fn run(text: &str) {
    let conf = ResolvConf::parse(text);
    assert!(conf.nameservers.iter().chain(&conf.search).all(|word| text.contains(word.as_str())));
}
