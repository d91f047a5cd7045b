//! What one federation process does.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// One thing that a node may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Takes agents' frames and keeps them.
    Store,
    /// Answers queries.
    Query,
    /// Evaluates rules over the pair.
    Rules,
    /// Routes and delivers alerts.
    Alertmanager,
    /// Votes in raft, holds no samples, sends nothing.
    Witness,
}

/// The roles of a node, from `--role`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Roles(BTreeSet<Role>);

impl Roles {
    /// The witness, which does nothing else.
    pub(crate) fn witness() -> Self {
        Self(BTreeSet::from([Role::Witness]))
    }

    pub(crate) fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }
}

/// All but the witness.
impl Default for Roles {
    fn default() -> Self {
        Self(BTreeSet::from([Role::Store, Role::Query, Role::Rules, Role::Alertmanager]))
    }
}

impl FromStr for Roles {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut roles = BTreeSet::new();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            roles.insert(match name {
                "store" => Role::Store,
                "query" => Role::Query,
                "rules" => Role::Rules,
                "alertmanager" => Role::Alertmanager,
                "witness" => Role::Witness,
                other => {
                    return Err(format!(
                        "no role {other:?}: expected a list out of store, query, rules, alertmanager, witness"
                    ));
                }
            });
        }
        let witness = roles.contains(&Role::Witness);
        if roles.is_empty() {
            Err("no role: expected a list out of store, query, rules, alertmanager, witness".to_owned())
        } else if witness && roles.len() > 1 {
            Err("a witness holds nothing and sends nothing: it takes no other role".to_owned())
        } else if !roles.contains(&Role::Store)
            && (roles.contains(&Role::Query) || roles.contains(&Role::Rules))
        {
            Err("query and rules read the node's own store: add the role store".to_owned())
        } else {
            Ok(Self(roles))
        }
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(|role| format!("{role:?}").to_lowercase()).collect();
        f.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_that_make_sense_are_taken() {
        assert_eq!("store, query,rules,alertmanager".parse(), Ok(Roles::default()));
        assert!("witness".parse::<Roles>().is_ok_and(|roles| roles.has(Role::Witness)));
        for wrong in ["", "stor", "witness,store", "query", "rules,alertmanager"] {
            assert!(wrong.parse::<Roles>().is_err(), "{wrong}");
        }
    }
}
