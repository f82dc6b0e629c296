//! Who owns what: names of users.

use crate::gap::Reader;
use kernel::proc::passwd::Passwd;

/// The machine's own users; none, where the file is not there. Other sources of users (LDAP and so on) are not asked.
pub fn users(reader: &Reader<'_>) -> Passwd {
    reader.bytes("etc/passwd").map(|bytes| Passwd::parse(&bytes)).unwrap_or_default()
}

/// A user's name; the number, where the file knows none.
pub fn user(users: &Passwd, uid: u32) -> String {
    users.name(uid).map_or_else(|| uid.to_string(), |name| String::from_utf8_lossy(name).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_a_name_or_a_number() {
        let users = Passwd::parse(b"root:x:0:0::/root:/bin/sh\n");
        assert_eq!((user(&users, 0), user(&users, 5)), ("root".to_owned(), "5".to_owned()));
    }
}
