use systemmanager_mcp::config::{Environment, Settings};

pub fn run(bytes: &[u8]) {
    if let Ok(settings) = Settings::parse(bytes, &Environment::default()) {
        assert!(!settings.listeners.is_empty());
    }
}
