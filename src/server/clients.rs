//! How many connections each client has: nobody takes all places.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many connections each client has.
#[derive(Debug, Default)]
pub(super) struct Clients(Mutex<HashMap<IpAddr, usize>>);

/// A connection that counts among its client's until dropped.
pub(super) struct Guest {
    clients: Arc<Clients>,
    client: IpAddr,
}

impl Clients {
    /// Counts one more connection from `peer`, or `None` if it has `limit` already.
    pub(super) fn enter(clients: &Arc<Self>, peer: SocketAddr, limit: usize) -> Option<Guest> {
        let client = client_prefix(peer.ip());
        let mut counts = clients.lock();
        let count = counts.entry(client).or_default();
        if *count >= limit {
            if *count == 0 {
                counts.remove(&client);
            }
            return None;
        }
        *count += 1;
        Some(Guest { clients: clients.clone(), client })
    }

    /// The connections of `peer` that are counted now.
    pub(super) fn count(&self, peer: SocketAddr) -> usize {
        self.lock().get(&client_prefix(peer.ip())).copied().unwrap_or(0)
    }

    /// The map is whole after every statement, so a panic elsewhere leaves it usable.
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut counts = self.clients.lock();
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

/// The prefix that stands for one client: an IPv4 address, a /56 of IPv6.
fn client_prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !0 << 72).into(),
        v4 => v4,
    }
}
