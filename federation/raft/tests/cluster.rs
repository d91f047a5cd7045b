//! A pair and its witness: elections, restarts, replacement, handover, snapshots.

mod support;

use std::time::Duration;

use support::{Delay, Running, WAIT, agree, eventually, leader, sites, voters};
use vedette_raft::{MemberError, ProposeError, ReadError, read_log};

/// Starts a pair and its witness and waits until all three vote.
fn pair(folder: &std::path::Path) -> (Vec<support::Site>, Vec<Running>) {
    let sites = sites(folder, &["a", "b", "w"]);
    let nodes: Vec<Running> = sites.iter().map(support::Site::start).collect();
    voters(&nodes.iter().collect::<Vec<_>>(), &["a", "b", "w"]);
    (sites, nodes)
}

fn all(nodes: &[Running]) -> Vec<&Running> {
    nodes.iter().collect()
}

#[test]
fn any_node_takes_a_proposal_and_reads_its_own_write() {
    let folder = tempfile::tempdir().unwrap();
    let (_sites, nodes) = pair(folder.path());
    assert_ne!(nodes[leader(&all(&nodes))].raft.status().cluster_id, "");
    for (at, node) in nodes.iter().enumerate() {
        assert_eq!(node.propose(&format!("from {at}")), Ok((at + 1).to_string().into_bytes()));
        assert_eq!(
            node.journal.commands().last(),
            Some(&format!("from {at}")),
            "applied here when it returns"
        );
        for other in &nodes {
            assert_eq!(other.run(async |raft| raft.read_index(WAIT).await), Ok(()));
            assert_eq!(other.journal.commands().len(), at + 1, "a linearizable read sees it");
        }
    }
    agree(&all(&nodes), 3);
    let led = leader(&all(&nodes));
    assert!(nodes[led].raft.lease_valid());
    assert_eq!(nodes.iter().filter(|node| node.raft.lease_valid()).count(), 1);
    assert!(nodes.iter().all(|node| node.raft.attached()));
    assert!(nodes[led].metric("vedette_raft_proposals_total{outcome=\"applied\"}").is_some());
}

#[test]
fn a_killed_leader_is_replaced_and_comes_back_with_its_state() {
    let folder = tempfile::tempdir().unwrap();
    let (sites, mut nodes) = pair(folder.path());
    nodes[1].propose("one").unwrap();
    let dead = leader(&all(&nodes));
    let (id, before) = (nodes[dead].id(), nodes[dead].raft.leadership().borrow().leader_id);
    let dir = nodes.remove(dead).kill();
    let logged = read_log(&dir).unwrap();
    assert_eq!(logged.iter().map(|(_, _, bytes)| bytes.as_slice()).collect::<Vec<_>>(), [b"one"]);
    let next = leader(&all(&nodes));
    assert!(nodes[next].raft.leadership().borrow().leader_id > before);
    nodes[next].propose("two").unwrap();
    nodes.push(sites[dead].start());
    agree(&all(&nodes), 2);
    assert_eq!(nodes[2].id(), id, "a node with state stays who it was");
    nodes[2].propose("three").unwrap();
    agree(&all(&nodes), 3);
}

#[test]
fn everything_killed_at_once_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (sites, nodes) = pair(folder.path());
    for number in 0..20 {
        nodes[number % 3].propose(&number.to_string()).unwrap();
    }
    let cluster = nodes[0].raft.status().cluster_id;
    for node in nodes {
        node.kill();
    }
    let nodes: Vec<Running> = sites.iter().map(support::Site::start).collect();
    agree(&all(&nodes), 20);
    leader(&all(&nodes));
    assert!(nodes.iter().all(|node| node.raft.status().cluster_id == cluster));
    assert_eq!(nodes[2].propose("again"), Ok(b"21".to_vec()));
}

#[test]
fn a_node_that_lost_its_disk_replaces_itself_under_a_new_id() {
    let folder = tempfile::tempdir().unwrap();
    let (sites, mut nodes) = pair(folder.path());
    nodes[0].propose("kept").unwrap();
    let lost = 1;
    let old = nodes[lost].id();
    let dir = nodes.remove(lost).kill();
    // The killed node's log may still be closing.
    eventually("an empty folder", || (std::fs::remove_dir_all(&dir).is_ok() || !dir.exists(), ()));
    nodes.push(sites[lost].start());
    voters(&all(&nodes), &["a", "b", "w"]);
    assert!(nodes[2].id() > old, "{} was given before", nodes[2].id());
    assert!(nodes.iter().all(|node| node.raft.status().nodes.iter().all(|member| member.id != old)));
    agree(&all(&nodes), 1);
    assert_eq!(nodes[2].propose("more"), Ok(b"2".to_vec()));
}

#[test]
fn a_witness_that_leads_hands_over() {
    let folder = tempfile::tempdir().unwrap();
    let (_sites, nodes) = pair(folder.path());
    nodes[0].propose("before").unwrap();
    let witness = nodes[2].id();
    let first = nodes[leader(&all(&nodes))].raft.leadership().borrow().leader_id;
    nodes[0].run(async move |raft| raft.transfer(Some(witness), WAIT).await).unwrap();
    let next = leader(&all(&nodes));
    let now = nodes[next].raft.leadership().borrow().leader_id;
    assert_ne!(now.node, witness);
    assert!(now.term >= first.term + 2, "the witness led between {first:?} and {now:?}");
    eventually("the witness's handover", || {
        let count = nodes[2].metric("vedette_raft_handovers_total");
        (count.is_some_and(|count| count >= 1.0), count)
    });
    assert!(!nodes[2].raft.lease_valid());
    assert_eq!(nodes[2].propose("after"), Ok(b"2".to_vec()));
}

#[test]
fn a_leader_that_stops_hands_over_first() {
    let folder = tempfile::tempdir().unwrap();
    let (sites, mut nodes) = pair(folder.path());
    nodes[0].propose("one").unwrap();
    let led = leader(&all(&nodes));
    let stopping = nodes.remove(led);
    stopping.run(async |raft| raft.shutdown(Duration::from_secs(5)).await).unwrap();
    assert_eq!(stopping.metric("vedette_raft_handovers_total"), Some(1.0));
    assert!(!stopping.raft.lease_valid());
    assert!(matches!(stopping.propose("late"), Err(ProposeError::Stopped(_))));
    leader(&all(&nodes));
    nodes[0].propose("two").unwrap();
    // The log is closed: the same process may open it again while the stopped one is still there.
    let again = sites[led].start();
    stopping.kill();
    agree(&[&again, &nodes[0], &nodes[1]], 2);
}

#[test]
fn a_node_that_was_away_for_long_gets_a_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let mut sites = sites(folder.path(), &["a", "b", "w"]);
    for site in &mut sites {
        site.options.snapshot_entries = 30;
        site.options.keep_entries = 5;
    }
    let mut nodes: Vec<Running> = sites.iter().map(support::Site::start).collect();
    voters(&all(&nodes), &["a", "b", "w"]);
    nodes[0].propose("first").unwrap();
    agree(&all(&nodes), 1);
    nodes.remove(1).kill();
    leader(&all(&nodes));
    for number in 0..150 {
        nodes[number % 2].propose(&number.to_string()).unwrap();
    }
    nodes.push(sites[1].start());
    agree(&all(&nodes), 151);
    let dir = nodes.remove(2).kill();
    let first = read_log(&dir).unwrap().first().map(|(index, _, _)| *index);
    assert!(
        first.is_none_or(|first| first > 50),
        "the log was replaced by a snapshot, and not sent from {first:?}"
    );
    nodes.push(sites[1].start());
    agree(&all(&nodes), 151);
}

#[test]
fn a_survivor_without_a_quorum_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (sites, mut nodes) = pair(folder.path());
    let led = leader(&all(&nodes));
    let survivor = nodes.remove(led);
    for node in nodes {
        node.kill();
    }
    eventually("no lease", || {
        (!survivor.raft.lease_valid() && !survivor.raft.attached(), survivor.raft.status())
    });
    let wait = Duration::from_millis(300);
    let proposed = survivor.run(async move |raft| raft.propose(b"lost".to_vec(), wait).await);
    assert!(matches!(proposed, Err(ProposeError::NoQuorum | ProposeError::NoLeader)), "{proposed:?}");
    let read = survivor.run(async move |raft| raft.read_index(wait).await);
    assert!(matches!(read, Err(ReadError::NoQuorum | ReadError::NoLeader)), "{read:?}");
    let other = sites[(led + 1) % 3].start();
    survivor.propose("back").unwrap();
    agree(&[&survivor, &other], 1);
}

#[test]
fn a_node_without_peers_starts_alone_and_leads_anew_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = sites(folder.path(), &["solo"]).remove(0);
    site.options.peers.clear();
    let node = site.start();
    assert_eq!(node.propose("one"), Ok(b"1".to_vec()));
    assert!(node.raft.lease_valid() && node.raft.attached());
    let before = node.raft.leadership().borrow().leader_id;
    node.kill();
    let node = site.start();
    assert_eq!(node.propose("two"), Ok(b"2".to_vec()));
    assert!(node.raft.leadership().borrow().leader_id > before, "a restarted leader is a new leader");
}

#[test]
fn a_removed_member_stays_out() {
    let folder = tempfile::tempdir().unwrap();
    let (sites, mut nodes) = pair(folder.path());
    let leads = leader(&all(&nodes));
    let gone = if leads == 1 { 0 } else { 1 };
    let name = sites[gone].name.clone();
    let removed = name.clone();
    nodes[2].run(async move |raft| raft.remove(&removed, WAIT).await).unwrap();
    let missing = nodes[2].run(async |raft| raft.remove("nobody", WAIT).await);
    assert_eq!(missing, Err(MemberError::NotFound("nobody".to_owned())));
    let out = nodes.remove(gone);
    let names: Vec<&str> = ["a", "b", "w"].into_iter().filter(|other| *other != name).collect();
    voters(&all(&nodes), &names);
    out.kill();
    let _out = sites[gone].start();
    for number in 0..5 {
        nodes[number % 2].propose(&number.to_string()).unwrap();
    }
    voters(&all(&nodes), &names);
}

#[test]
fn an_empty_node_joins_when_it_is_invited_and_not_another_groups() {
    let folder = tempfile::tempdir().unwrap();
    let mut sites = sites(folder.path(), &["a", "b", "x"]);
    sites[0].options.peers.clear();
    // The other two wait: their only peer does not answer.
    let unused = support::free_address();
    for site in &mut sites[1..] {
        site.options.peers = vec![vedette_raft::Peer { name: None, address: unused.to_string() }];
    }
    sites[2].options.cluster_label = "other".to_owned();
    let nodes: Vec<Running> = sites.iter().map(support::Site::start).collect();
    nodes[0].propose("one").unwrap();
    let address = sites[1].options.advertise.clone();
    let id = nodes[0].run(async move |raft| raft.add(&address, WAIT).await).unwrap();
    assert_eq!(id, nodes[1].id());
    agree(&[&nodes[0], &nodes[1]], 1);
    let address = sites[2].options.advertise.clone();
    let refused = nodes[0].run(async move |raft| raft.add(&address, WAIT).await);
    assert!(matches!(&refused, Err(MemberError::Refused(why)) if why.contains("label")), "{refused:?}");
    assert_eq!(nodes[2].raft.status().cluster_id, "");
}

#[test]
fn a_node_that_moved_is_found_at_its_new_address() {
    let folder = tempfile::tempdir().unwrap();
    let (mut sites, mut nodes) = pair(folder.path());
    let moves = usize::from(leader(&all(&nodes)) == 0);
    nodes.remove(moves).kill();
    let address = support::free_address();
    sites[moves].address = address;
    sites[moves].options.advertise = address.to_string();
    leader(&all(&nodes));
    nodes[0].propose("one").unwrap();
    nodes.push(sites[moves].start());
    eventually("the new address", || {
        let status = nodes[0].raft.status();
        (status.nodes.iter().any(|node| node.address == address.to_string()), status)
    });
    agree(&all(&nodes), 1);
    assert_eq!(nodes[2].propose("two"), Ok(b"2".to_vec()));
    agree(&all(&nodes), 2);
}

/// The witness alone has the leader's last entries when the leader dies: it must win, give them to the
/// replica, and hand over to it.
#[test]
fn the_witness_saves_what_the_slow_replica_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let mut sites = sites(folder.path(), &["a", "b", "w"]);
    let slow = Delay::before(sites[1].address);
    sites[1].options.advertise = slow.address.to_string();
    let mut nodes: Vec<Running> = sites.iter().map(support::Site::start).collect();
    voters(&all(&nodes), &["a", "b", "w"]);
    let first = nodes[0].id();
    nodes[1].run(async move |raft| raft.transfer(Some(first), WAIT).await).unwrap();
    eventually("a leads", || (nodes[0].leads(), nodes[0].raft.status()));
    slow.set(Duration::from_millis(200));
    let wait = Duration::from_millis(500);
    let acked = (0..20)
        .filter(|number| {
            let bytes = number.to_string().into_bytes();
            nodes[0].run(async move |raft| raft.propose(bytes, wait).await).is_ok()
        })
        .count();
    assert!(acked > 10, "{acked} proposals were acknowledged by leader and witness");
    let (replica, witness) = (nodes[1].journal.entries().len(), nodes[2].journal.entries().len());
    nodes.remove(0).kill();
    assert!(replica <= witness, "the replica has {replica}, the witness {witness}");
    eventually("b leads with everything", || {
        let there = nodes[0].journal.entries().len();
        (nodes[0].leads() && there >= acked, (there, acked, nodes[0].raft.leadership().borrow().clone()))
    });
    slow.set(Duration::ZERO);
    nodes[0].propose("after").unwrap();
    agree(&all(&nodes), nodes[0].journal.entries().len());
}

#[test]
fn members_speak_tls_and_take_only_their_own_authoritys_peers() {
    let folder = tempfile::tempdir().unwrap();
    let mut sites = sites(&folder.path().join("nodes"), &["a", "b", "x"]);
    let ours = support::certificates(&folder.path().join("ours"));
    let theirs = support::certificates(&folder.path().join("theirs"));
    let stranger = sites[2].options.advertise.clone();
    for site in &mut sites[..2] {
        site.options.peers.pop();
        site.options.tls = Some(ours.clone());
    }
    sites[2].options.tls = Some(theirs);
    let nodes: Vec<Running> = sites.iter().map(support::Site::start).collect();
    voters(&[&nodes[0], &nodes[1]], &["a", "b"]);
    assert_eq!(nodes[1].propose("one"), Ok(b"1".to_vec()));
    agree(&[&nodes[0], &nodes[1]], 1);
    let refused = nodes[0].run(async move |raft| raft.add(&stranger, WAIT).await);
    assert!(matches!(refused, Err(MemberError::Refused(_))), "{refused:?}");
    // It asked ours all the while, and learned nothing.
    assert_eq!(nodes[2].raft.status().cluster_id, "");
}
