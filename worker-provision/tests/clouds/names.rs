//! Names that lead to machines.

use cloud_emulator::known;
use shared::providers::cloud::Record;

use crate::world::{WAYS, World};

fn record(address: &str) -> Record {
    Record {
        zone: known::DOMAIN.to_owned(),
        name: format!("shop.{}", known::DOMAIN),
        address: address.parse().expect("an address"),
        ttl: 300,
    }
}

#[tokio::test]
async fn a_name_leads_to_one_address_until_it_is_taken_away() {
    for way in WAYS {
        leads_until_taken_away(&World::new(way)).await;
    }
}

pub async fn leads_until_taken_away(world: &World) {
    let way = world.way;
    assert_eq!(world.zones.zones().await.expect("zones"), [known::DOMAIN], "{way:?}");
    let name = record("8.8.4.4").name;
    let served = async |kind: &str| {
        world.pass(60).await;
        world.emulator.resolve(&name, kind)
    };
    for address in ["8.8.8.8", "8.8.4.4", "8.8.4.4"] {
        world.zones.set(&record(address)).await.unwrap_or_else(|e| panic!("{way:?}: {e}"));
        assert_eq!(served("A").await, [address], "{way:?}");
    }
    world.zones.set(&record("2a01:4f8::1")).await.unwrap_or_else(|e| panic!("{way:?}: {e}"));
    assert_eq!(world.zones.values(&record("8.8.8.8")).await.expect("read"), ["8.8.4.4"], "{way:?}");
    assert_eq!((served("A").await, served("AAAA").await), (vec!["8.8.4.4".to_owned()], vec!["2a01:4f8::1".to_owned()]));

    world.zones.remove(&record("8.8.8.8")).await.unwrap_or_else(|e| panic!("{way:?}: {e}"));
    assert_eq!(served("A").await, ["8.8.4.4"], "{way:?}: somebody else's stays");
    world.zones.remove(&record("8.8.4.4")).await.unwrap_or_else(|e| panic!("{way:?}: {e}"));
    world.zones.remove(&record("8.8.4.4")).await.unwrap_or_else(|e| panic!("{way:?}: {e}"));
    assert_eq!(served("A").await, Vec::<String>::new(), "{way:?}");
    assert_eq!(served("AAAA").await, ["2a01:4f8::1"], "{way:?}");
}
