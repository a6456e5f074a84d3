//! A machine's life from its order to its end.

use cloud_emulator::{Settings, State as There};
use shared::providers::cloud::{Class, Created, Power, Resolve, State};

use crate::world::{INSTALL, WAYS, Way, World};

#[tokio::test]
async fn a_machine_lives_and_ends() {
    for way in WAYS {
        lives_and_ends(&World::new(way)).await;
    }
}

pub async fn lives_and_ends(world: &World) {
    let way = world.way;
    let (region, size, larger) = way.place();
    let order = world.order().await;
    let Created::Yes(id) = world.cloud.create(&order).await else { panic!("{way:?}: not made") };
    assert_eq!(world.emulator.live().len(), 1, "{way:?}");
    let made = &world.emulator.inventory()[0];
    assert_eq!((made.name.clone(), made.user_data.as_str()), (order.name.to_string(), order.user_data.as_str()));
    world.pass(3).await;
    let early = world.get(&id).await.expect("seen after three seconds");
    assert_eq!((early.state, early.name.as_ref()), (State::Pending, Some(&order.name)), "{way:?}");
    world.pass(90).await;
    let machine = world.get(&id).await.expect("there");
    assert_eq!(machine.state, State::Running, "{way:?}");
    assert_eq!((machine.region.as_str(), machine.size.as_str()), (region, size), "{way:?}");
    assert!(machine.ipv4.is_some() && machine.created_at.is_some(), "{way:?}: {machine:?}");
    let found = world.cloud.find(region, &order.name).await.expect("an answer");
    assert_eq!(found.iter().map(|m| &m.id).collect::<Vec<_>>(), [&id], "{way:?}");
    let listed = world.cloud.list(region).await.expect("a list");
    assert_eq!((listed.len(), &listed[0].id, listed[0].size.as_str()), (1, &id, size), "{way:?}");

    for (power, state) in [(Power::Stop, State::Stopped), (Power::Stop, State::Stopped), (Power::Start, State::Running)]
    {
        world.cloud.power(region, &id, power).await.unwrap_or_else(|e| panic!("{way:?} {power:?}: {e}"));
        world.pass(30).await;
        assert_eq!(world.get(&id).await.map(|m| m.state), Some(state), "{way:?} {power:?}");
    }
    world.cloud.power(region, &id, Power::Reboot).await.expect("asked");
    world.pass(30).await;
    if world.cloud.traits().resize_needs_off {
        let told = world.cloud.resize(region, &id, larger).await.expect_err("not off");
        assert_eq!(told.class, Class::Conflict);
        world.cloud.power(region, &id, Power::Off).await.expect("asked");
        world.pass(30).await;
    }
    world.cloud.resize(region, &id, larger).await.unwrap_or_else(|e| panic!("{way:?}: {e}"));
    world.pass(60).await;
    assert_eq!(world.get(&id).await.map(|m| m.size).as_deref(), Some(larger), "{way:?}");

    world.cloud.delete(region, &id).await.expect("asked");
    if let Err(told) = world.cloud.delete(region, &id).await {
        assert_eq!(told.class, Class::Later, "{way:?}: asked twice, {told}");
    }
    world.pass(60).await;
    assert!(world.get(&id).await.is_none_or(|m| m.state == State::Gone), "{way:?}");
    assert!(world.cloud.list(region).await.expect("a list").iter().all(|m| m.state == State::Gone), "{way:?}");
    world.cloud.delete(region, &id).await.expect("gone already");
    assert!(world.emulator.inventory().iter().all(|m| m.state == There::Gone), "{way:?}");
    assert_eq!(world.orders(), 1);
}

#[tokio::test]
async fn the_same_order_again_is_the_same_machine_where_that_is_promised() {
    for way in WAYS {
        let world = World::new(way);
        if world.cloud.traits().resolve != Resolve::Replay {
            continue;
        }
        let order = world.order().await;
        let Created::Yes(first) = world.cloud.create(&order).await else { panic!("not made") };
        world.pass(1).await;
        let Created::Yes(second) = world.cloud.create(&order).await else { panic!("not found again") };
        assert_eq!((first, world.emulator.live().len()), (second, 1));
    }
}

#[tokio::test]
async fn a_list_has_all_pages() {
    for way in WAYS {
        let settings = Settings { page_cap: Some(2), enforce_rates: false, ..Settings::default() };
        let world = World::with(way, settings);
        for _ in 0..5 {
            let order = world.order().await;
            assert!(matches!(world.cloud.create(&order).await, Created::Yes(_)), "{way:?}");
        }
        world.pass(60).await;
        assert_eq!(world.cloud.list(world.region()).await.expect("a list").len(), 5, "{way:?}");
        // The key and the firewall were made once, and another place finds them.
        let first = world.order().await.placement;
        assert_eq!(first, world.order().await.placement);
        let names = world.emulator.requests();
        let shared = names.iter().filter(|s| s.method == "POST" && s.target.contains("key")).count();
        // A key is no machine's business at Amazon: it stands in the user-data alone.
        assert_eq!(shared, usize::from(way != Way::Aws), "{way:?}");
    }
}

#[tokio::test]
async fn a_catalog_tells_prices_and_a_check_finds_nothing_missing() {
    for way in WAYS {
        let world = World::new(way);
        let info = world.cloud.check().await.unwrap_or_else(|e| panic!("{way:?}: {e}"));
        assert!(info.missing.is_empty() && !info.account.is_empty(), "{way:?}: {info:?}");
        let catalog = world.cloud.catalog().await.unwrap_or_else(|e| panic!("{way:?}: {e}"));
        let (region, size, _) = way.place();
        let price = catalog.price(region, size).unwrap_or_else(|| panic!("{way:?}: no {size} in {region}"));
        assert!(price.hourly.as_ref().is_some_and(|p| p.micros > 0) && price.monthly.is_some(), "{way:?}: {price:?}");
        assert!(catalog.regions.iter().any(|r| r.code == region) && !catalog.images.is_empty(), "{way:?}");
    }
}

#[tokio::test]
async fn what_a_credential_lacks_is_told() {
    for (way, denied, told) in [
        (Way::Hetzner, "write", "Read & Write"),
        (Way::DigitalOcean, "firewall:read", "firewall:read"),
        (Way::OvhKeys, "POST /cloud/project/*", "POST /cloud/project/0123456789abcdef0123456789abcdef/instance"),
        (
            Way::OvhService,
            "GET /cloud/project/0123456789abcdef0123456789abcdef/flavor*",
            "account:apiovh:cloud/project/0123456789abcdef0123456789abcdef/flavor",
        ),
    ] {
        let mut settings = Settings::instant();
        let kind = way.kind();
        for access in settings.accounts.iter_mut().filter(|a| a.cloud == kind).flat_map(|a| &mut a.accesses) {
            access.denied.insert(denied.to_owned());
        }
        let info = World::with(way, settings).cloud.check().await.unwrap_or_else(|e| panic!("{way:?}: {e}"));
        assert!(info.missing.iter().any(|m| m == told), "{way:?}: {info:?}");
    }
}

#[tokio::test]
async fn a_locked_account_is_told() {
    for way in [Way::DigitalOcean, Way::OvhKeys, Way::OvhService] {
        let mut settings = Settings::instant();
        for account in &mut settings.accounts {
            account.locked = true;
        }
        let world = World::with(way, settings);
        assert_eq!(world.cloud.check().await.expect_err("locked").class, Class::Account, "{way:?}");
    }
}

#[tokio::test]
async fn somebody_elses_machine_is_left_alone() {
    for way in WAYS {
        let world = World::new(way);
        let mut order = world.order().await;
        order.name.install = "ffffffffff".parse().expect("an installation");
        let Created::Yes(id) = world.cloud.create(&order).await else { panic!("not made") };
        world.pass(90).await;
        let region = world.region();
        assert_eq!(world.cloud.delete(region, &id).await.expect_err("left alone").class, Class::Conflict);
        assert_eq!(world.cloud.power(region, &id, Power::Off).await.expect_err("left alone").class, Class::Conflict);
        let ours = world.cloud.list(region).await.expect("a list");
        assert!(ours.is_empty(), "{way:?}: a list of {INSTALL} has {ours:?}");
        assert_eq!(world.emulator.live()[0].state, There::Running);
    }
}
