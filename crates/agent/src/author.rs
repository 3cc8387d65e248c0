//! Who wrote a change of the store, in words.

use tortie_store::Author;

/// `root (alice)`: the user, and who became it with `sudo`.
pub fn who(author: &Author) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = name_in(&passwd, author.uid).map_or_else(|| format!("uid {}", author.uid), str::to_owned);
    if author.sudo_user.is_empty() { user } else { format!("{user} ({})", author.sudo_user) }
}

/// The name of a user in the file of users: `NAME:x:UID:...`.
fn name_in(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let found: u32 = fields.nth(1)?.parse().ok()?;
        (found == uid).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_name_of_the_first_line_with_its_id() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nalice:x:1000:1000::/home/alice:/bin/sh\n";
        assert_eq!([0, 1000, 7].map(|uid| name_in(passwd, uid)), [Some("root"), Some("alice"), None]);
    }
}
