//! What becomes of answers where more is asked than a server can answer: questions at random moments, from a
//! part of what it answers when saturated to a multiple of that, whatever comes back. Its sockets' buffers bound how
//! long a question waits, and what does not go into them is lost.

use std::path::Path;
use std::time::Duration;

use crate::load::{Load, Outcome};
use crate::questions::Zone;
use crate::servers::Files;
use crate::{Options, saturate};

/// The servers that are compared.
const SERVERS: [&str; 3] = ["echo", "nibbl", "rbldnsd"];
/// What is asked, as a multiple of the saturated rate.
const MULTIPLES: [f64; 5] = [0.5, 0.8, 1.2, 1.6, 2.0];
/// The load is one thread, which cannot ask all that of a fast server: it asks what it can, and its own lateness stays
/// out of the latencies.
const LATEST: Duration = Duration::from_micros(500);

/// Prints rates and latencies under each load.
pub(crate) fn measure(zone: &mut Zone, directory: &Path, options: &Options) {
    let files = Files::new(directory, options);
    files.write(zone, 0).expect("room for the data");
    println!("{} prefixes; of answers that came within 200 ms", options.size);
    println!(
        "{:9}{:>8}{:>10}{:>10}{:>8}{:>10}{:>10}{:>10}",
        "", "of most", "asked/s", "answers/s", "lost %", "p50 us", "p99", "p99.9"
    );
    for name in SERVERS {
        let started = files.start(name, options.server_core, options.load_core);
        let Some(server) = started.and_then(|server| server.loaded(zone)) else { continue };
        let saturated = saturate(&server, zone, options).saturated;
        let most = saturated.answered as f64 / saturated.seconds;
        for multiple in MULTIPLES {
            let load = Load::new(server.address, options.sockets).expect("sockets");
            let mut load = load.no_later_than(LATEST);
            let outcome = load.pace(zone, most * multiple, options.time).expect("loopback takes packets");
            let asked = (outcome.answered + outcome.lost) as f64;
            let came = Outcome { lost: 0, ..outcome.clone() };
            let [half, p99, p999] = [0.5, 0.99, 0.999].map(|share| came.percentile(share));
            println!(
                "{name:9}{:>8.2}{:>10.0}{:>10.0}{:>8.1}{half:>10.1}{p99:>10.1}{p999:>10.1}",
                asked / outcome.seconds / most,
                asked / outcome.seconds,
                outcome.answered as f64 / outcome.seconds,
                100.0 * outcome.lost as f64 / asked,
            );
        }
    }
}
