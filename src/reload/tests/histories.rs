//! Random histories of files, with an oracle that knows what must be served after each event.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Event {
    Write(usize, Content),
    Touch(usize),
    Delete(usize),
    Unsteady(usize, u32),
    Force,
}

fn event() -> impl Strategy<Value = Event> {
    let file = 0..FILES.len();
    let entries = prop_oneof![0u64..20, 900u64..1200, Just(5000u64)];
    let errors = prop_oneof![4 => Just(0u64), 1 => Just(3u64)];
    let list = (entries, errors, 0u8..3).prop_map(|(entries, errors, variant)| Content::List {
        entries,
        errors,
        variant,
    });
    prop_oneof![
        4 => (file.clone(), list).prop_map(|(file, list)| Event::Write(file, list)),
        1 => file.clone().prop_map(|file| Event::Write(file, Content::Garbage)),
        1 => file.clone().prop_map(Event::Touch),
        1 => file.clone().prop_map(Event::Delete),
        1 => (file, 1..=TRIES).prop_map(|(file, times)| Event::Unsteady(file, times)),
        1 => Just(Event::Force),
    ]
}

const FILES: [&str; 3] = ["a", "b", "c"];
const SPECS: [&str; 5] = ["one:ip:a,b", "two:ip:a,b", "two:ip:c", "three:ip:c", "three:ip4set:a"];

/// What a zone must serve after a look, by the rules alone: its files as they are, or as it was.
fn expected(
    config: &ZoneConfig,
    files: &HashMap<PathBuf, FakeFile>,
    forced: bool,
    before: &Served,
) -> Served {
    let mut contents = Vec::new();
    for file in config.datasets.iter().flat_map(|dataset| &dataset.files) {
        match files.get(file) {
            Some(FakeFile { content: content @ Content::List { .. }, .. }) => contents.push(content.clone()),
            _ => return before.clone(),
        }
    }
    let sum = |contents: &[Content], what: fn(&Content) -> u64| contents.iter().map(what).sum::<u64>();
    let entries = |content: &Content| match content {
        Content::List { entries, .. } => *entries,
        Content::Garbage | Content::Trap => 0,
    };
    let errors = |content: &Content| match content {
        Content::List { errors, .. } => *errors,
        Content::Garbage | Content::Trap => 0,
    };
    let (new, old) = (sum(&contents, entries), sum(&before.1, entries));
    let is_large = new.abs_diff(old) >= 1000 && new.abs_diff(old) * 2 > old;
    let refused = config.strict && sum(&contents, errors) > 0
        || before.0 == Status::Serving && !forced && contents != before.1 && is_large;
    if refused { before.clone() } else { (Status::Serving, contents) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_served_is_always_the_last_good_data(events in proptest::collection::vec(event(), 0..40)) {
        let strict = |zone: &mut ZoneConfig| zone.strict = zone.name.to_string() == "three";
        let config = config(&SPECS, strict);
        let (world, mut loader) = world_of(&config);
        let mut expectation: Vec<Served> = vec![(Status::NeverLoaded, vec![]); config.zones.len()];
        for event in std::iter::once(Event::Touch(0)).chain(events) {
            let mut order = Order::default();
            let mut unsteady = false;
            match event {
                Event::Write(file, content) => world.write(FILES[file], content),
                Event::Touch(file) => world.change(FILES[file], |_| ()),
                Event::Delete(file) => drop(world.files.borrow_mut().remove(Path::new(FILES[file]))),
                Event::Unsteady(file, times) => {
                    world.change(FILES[file], |file| file.unsteady = times);
                    unsteady = true;
                }
                Event::Force => order.force = true,
            }
            let files = world.files.borrow().clone();
            loader.look(&order, at(1));
            for (zone, expectation) in config.zones.iter().zip(&mut expectation) {
                let served = world.served(&zone.name.to_string());
                let now = expected(zone, &files, order.force, expectation);
                // A file that does not hold still may cost a look, but never the data.
                prop_assert!(served == now || unsteady && served == *expectation, "{}", zone.name);
                *expectation = served;
            }
            // Whatever could not be read while it changed is there at the next look.
            for file in world.files.borrow_mut().values_mut() {
                file.unsteady = 0;
            }
            let files = world.files.borrow().clone();
            loader.look(&Order::default(), at(1));
            for (zone, expectation) in config.zones.iter().zip(&mut expectation) {
                let served = world.served(&zone.name.to_string());
                prop_assert_eq!(&served, &expected(zone, &files, false, expectation));
                *expectation = served;
            }
            let loads = world.loads.get();
            let publications = world.publications.get();
            let round = loader.look(&Order::default(), at(1));
            prop_assert_eq!(lines(round), [""; 0], "said twice");
            prop_assert_eq!(world.publications.get(), publications);
            if FILES.iter().all(|file| files.contains_key(Path::new(file))) {
                prop_assert_eq!(world.loads.get(), loads, "nothing changed, nothing is read");
            }
        }
    }
}
