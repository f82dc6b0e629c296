//! What the command line says instead of a file.

use std::{net::SocketAddr, path::PathBuf};

use super::{
    ConfigError, Environment, Misread, Settings, Tokens,
    files::{self, Files},
    listeners::{self, Problem},
    value::{As, FromText},
    web::Host,
    written::Written,
};
use crate::audit::{self, Sink};
use engine::{self, Socket};
use jail::Allowed;
use rights::grant::Grants;

/// What the command line says instead of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--listen`.
    pub listen: Vec<SocketAddr>,
    /// `--root`.
    pub root: Option<PathBuf>,
    /// `--token-file`: for a trial, where its one token is read or created.
    pub token_file: Option<PathBuf>,
    /// `--scopes` and `--allow`.
    pub grants: Option<Grants>,
    /// `--allow-host`.
    pub allow_hosts: Vec<String>,
    /// `--plain-text`.
    pub plain_text: bool,
    /// `--audit`.
    pub audit: Option<Sink>,
    /// `--docker`.
    pub docker: Option<PathBuf>,
    /// `--files`.
    pub files: Vec<Allowed>,
}

impl Settings {
    /// Settings without a file: loopback, grants that only read, and one token of the trial's own.
    pub fn trial(flags: &Flags, environment: &Environment) -> Result<Self, ConfigError> {
        let failed = |why: String| ConfigError { file: None, wrong: vec![Misread::somewhere(why)] };
        let Written { listeners: usual, mut web, limits, log, .. } = Written::default();
        let usual = usual.listen.iter().map(|address| address.0).collect();
        let listen = if flags.listen.is_empty() { usual } else { flags.listen.clone() };
        let listeners = listeners::alike(&listen, None, flags.plain_text).map_err(|problem| {
            failed(match problem {
                Problem::None => "--listen must be given an address".into(),
                Problem::Twice => "--listen was given the same address twice".into(),
                Problem::Open(address) => format!(
                    "--listen {address} can be reached by other machines and would carry tokens in the clear; \
                     add --plain-text if something else encrypts, or use a config file with tls"
                ),
            })
        })?;
        for host in &flags.allow_hosts {
            let host = Host::read(host).ok_or_else(|| failed(format!("--allow-host: {}", Host::EXPECTED)))?;
            web.allowed_hosts.push(As(host));
        }
        let (allowed_hosts, allowed_origins) = web.meaning(&listeners);
        if files::has_twice(&flags.files) {
            return Err(failed("--files was given the same directory twice".into()));
        }
        let absolute =
            |path: &PathBuf| std::path::absolute(path).map_err(|error| failed(format!("{}: {error}", path.display())));
        let state_directory = environment.state_directory();
        let audit = match &flags.audit {
            Some(Sink::File(path)) => Sink::File(absolute(path)?),
            Some(Sink::Stderr) => Sink::Stderr,
            None => Sink::File(state_directory.join(audit::FILE_NAME)),
        };
        let settings = Self {
            file: None,
            allowed_hosts,
            listeners,
            allowed_origins,
            root: flags.root.as_ref().map_or(Ok(PathBuf::from("/")), absolute)?,
            tokens: Tokens::Trial(flags.token_file.as_ref().map(absolute).transpose()?),
            grants: flags.grants.clone().unwrap_or_else(Grants::usual),
            audit,
            limits: limits.meaning(),
            docker: engine::Settings {
                socket: match &flags.docker {
                    Some(socket) => Socket::At(absolute(socket)?),
                    None => environment.docker_socket(),
                },
                ..engine::Settings::default()
            },
            files: match flags.files.as_slice() {
                [] => Files::of_trial(),
                allowed => Files { allowed: allowed.to_vec(), ..Files::default() },
            },
            log: log.log,
            state_directory,
        };
        settings.check_ground().map_err(|(_, why)| failed(why))?;
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Directory;
    use jail::{Access, Deny};

    fn environment() -> Environment {
        Environment { state_directory: Some("/state:/other".into()), ..Environment::default() }
    }

    #[test]
    fn a_trial_reads_only_and_listens_on_loopback_unless_told() {
        let settings = Settings::trial(&Flags::default(), &environment()).unwrap();
        assert_eq!(settings.addresses(), ["127.0.0.1:8080".parse().unwrap()]);
        assert_eq!((settings.tokens, settings.grants), (Tokens::Trial(None), Grants::usual()));
        let open = Flags { listen: vec!["192.0.2.1:1".parse().unwrap()], ..Flags::default() };
        let said = Settings::trial(&open, &environment()).unwrap_err().to_string();
        assert!(said.contains("--plain-text") && said.contains("192.0.2.1:1"), "{said}");
        let said_out_loud = Flags { plain_text: true, allow_hosts: vec!["box".into()], ..open };
        let settings = Settings::trial(&said_out_loud, &environment()).unwrap();
        assert_eq!(settings.allowed_hosts, ["box", "localhost", "127.0.0.1", "[::1]", "192.0.2.1"]);
        let odd = Flags { allow_hosts: vec!["http://a/b".into()], ..Flags::default() };
        assert!(Settings::trial(&odd, &environment()).unwrap_err().to_string().contains("--allow-host"));
        let relative = Flags { audit: Some(Sink::File("a".into())), ..Flags::default() };
        let settings = Settings::trial(&relative, &environment()).unwrap();
        assert!(matches!(settings.audit, Sink::File(path) if path.is_absolute()));
    }

    #[test]
    fn a_trial_shows_a_few_directories_or_those_it_is_told_and_never_the_usual_secrets() {
        let files = |flags: Flags| Settings::trial(&flags, &environment()).map(|settings| settings.files);
        let usual = files(Flags::default()).unwrap();
        let shown: Vec<String> = usual.allowed.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["/var/log (ro)", "/etc (ro)", "/srv (ro)", "/opt (ro)"]);
        assert!(usual.allowed.iter().all(|allowed| Directory::of(&allowed.path).is_some()));
        let only = Allowed { path: "/data".into(), access: Access::Rw, mounts: false };
        let told = files(Flags { files: vec![only.clone()], ..Flags::default() }).unwrap();
        assert_eq!(told.allowed, std::slice::from_ref(&only));
        assert_eq!((usual.deny, told.deny), (Deny::default(), Deny::default()));
        let twice = vec![only.clone(), Allowed { access: Access::Ro, ..only }];
        let said = files(Flags { files: twice, ..Flags::default() }).unwrap_err().to_string();
        assert!(said.contains("--files") && said.contains("twice"), "{said}");
    }
}
