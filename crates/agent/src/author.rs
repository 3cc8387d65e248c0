//! Who wrote a change of the store, in words.

use tortie_store::Author;

/// The name of this machine, which identifies it in a store that several machines write to.
pub fn this_machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// `root (alice)`: the user, and who became it with `sudo`; in a store of several machines with the machine: `root (alice) on web1`.
pub fn who(author: &Author) -> String {
    let is_here = author.host.is_empty() || author.host == this_machine();
    let passwd = if is_here { std::fs::read_to_string("/etc/passwd").unwrap_or_default() } else { ROOT.to_owned() };
    let mut text = name_in(&passwd, author.uid).map_or_else(|| format!("uid {}", author.uid), str::to_owned);
    if !author.sudo_user.is_empty() {
        text += &format!(" ({})", author.sudo_user);
    }
    if !author.host.is_empty() {
        text += &format!(" on {}", author.host);
    }
    text
}

/// The entry of root, whose name is the same on every machine.
const ROOT: &str = "root:x:0:";

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
    fn names_of_users_are_those_of_their_own_machine() {
        let of =
            |uid, host: &str| who(&Author { uid, host: host.into(), sudo_user: "alice".into(), ..Author::default() });
        assert_eq!(of(0, ""), "root (alice)");
        assert_eq!(of(0, "elsewhere"), "root (alice) on elsewhere");
        assert_eq!(of(1, "elsewhere"), "uid 1 (alice) on elsewhere", "here it is somebody else's");
        assert_eq!(of(0, &this_machine()), format!("root (alice) on {}", this_machine()));
    }

    #[test]
    fn a_user_has_the_name_of_the_first_line_with_its_id() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nalice:x:1000:1000::/home/alice:/bin/sh\n";
        assert_eq!([0, 1000, 7].map(|uid| name_in(passwd, uid)), [Some("root"), Some("alice"), None]);
    }
}
