//! The resolver against servers on loopback that cut, forge, lose and refuse.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::thread::{JoinHandle, spawn};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RecordType};

use super::fake::{APEX, Fault, TTL, Zone};
use crate::client::{Failure, Question, Reply, Resolver, Upstream};
use crate::range_record::literal::ListEntry;
use crate::range_record::walk::Answer;
use crate::range_record::{Prefix, apl};

fn question() -> Question {
    Question {
        name: Name::from_ascii(format!("_ranges.{APEX}")).unwrap(),
        record_type: RecordType::from(apl::TYPE),
    }
}

fn zone() -> Zone {
    Zone::new(&[ListEntry { prefix: Prefix::containing(0x2001_0db8 << 96, 32), state: 1 }], 800)
}

fn block() -> Answer {
    let items = [apl::AplItem::new(Prefix::containing(0x2001_0db8 << 96, 32), false)];
    Answer::Records(vec![apl::write(&items).into()])
}

fn good() -> Result<Reply, Failure> {
    Ok(Reply { rcode: ResponseCode::NoError, answer: block(), ttl: TTL, denied_by: None })
}

fn ask(servers: &[SocketAddr]) -> Result<Reply, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Resolver::new(servers.to_vec()).ask(&question()))
}

/// A UDP server that sends what `replies` makes of each packet, and ends after `packets` of them.
fn server(
    packets: usize,
    mut replies: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let serving = spawn(move || {
        let mut buffer = [0; 4096];
        for _ in 0..packets {
            let (length, client) = socket.recv_from(&mut buffer).unwrap();
            for reply in replies(&buffer[..length]) {
                socket.send_to(&reply, client).unwrap();
            }
        }
    });
    (address, serving)
}

#[test]
fn only_the_reply_to_the_question_counts() {
    let (address, serving) = server(1, |packet| {
        let forged = zone().reply(packet, Fault::Vanish).unwrap();
        let mut other_id = forged.clone();
        other_id[0] ^= 1;
        let mut no_response = forged.clone();
        no_response[2] &= 0x7f;
        let mut other_name = forged.clone();
        other_name[13] ^= 1;
        let mut other_type = forged.clone();
        let at = 12 + question().name.len() + 1;
        other_type[at] ^= 1;
        let good = zone().reply(packet, Fault::None).unwrap();
        vec![other_id, no_response, other_name, other_type, forged[..11].to_vec(), vec![], good]
    });
    assert_eq!(ask(&[address]), good());
    serving.join().unwrap();
}

#[test]
fn lost_packets_are_sent_again() {
    let mut seen = 0;
    let (address, serving) = server(2, move |packet| {
        seen += 1;
        if seen == 1 { vec![] } else { vec![zone().reply(packet, Fault::None).unwrap()] }
    });
    assert_eq!(ask(&[address]), good());
    serving.join().unwrap();
}

#[test]
fn the_next_server_is_asked_where_one_does_not_answer() {
    let (refusing, first) = server(1, |packet| vec![zone().reply(packet, Fault::Refuse).unwrap()]);
    let (referring, second) = server(1, |packet| vec![zone().reply(packet, Fault::Refer).unwrap()]);
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (answering, third) = server(1, |packet| vec![zone().reply(packet, Fault::None).unwrap()]);
    assert_eq!(ask(&[refusing, referring, closed, answering]), good());
    for serving in [first, second, third] {
        serving.join().unwrap();
    }
}

#[test]
fn failures_are_told() {
    let (refusing, _serving) = server(9, |packet| vec![zone().reply(packet, Fault::Refuse).unwrap()]);
    assert_eq!(ask(&[refusing]), Err(Failure::Rcode(ResponseCode::Refused)));
    let (cut, _serving) = server(9, |packet| vec![zone().reply(packet, Fault::CutPacket).unwrap()]);
    assert_eq!(ask(&[cut]), Err(Failure::Unreadable));
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(ask(&[closed]), Err(Failure::Unreachable(std::io::ErrorKind::ConnectionRefused)));
    assert_eq!(ask(&[]), Err(Failure::NoReply));
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert_eq!(ask(&[silent.local_addr().unwrap(), closed]), Err(Failure::NoReply));
}

#[test]
fn extended_codes_are_no_answers() {
    // BADVERS has the lower bits of NOERROR (RFC 6891, section 6.1.3).
    let (address, _serving) = server(9, |packet| {
        let mut message = Message::from_vec(packet).unwrap().into_response();
        message.metadata.response_code = ResponseCode::BADVERS;
        message.edns.as_mut().unwrap().set_rcode_high(1);
        vec![message.to_vec().unwrap()]
    });
    assert_eq!(ask(&[address]), Err(Failure::Rcode(ResponseCode::from(1, 0))));
}

#[test]
fn cut_replies_come_whole_over_tcp() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let udp = UdpSocket::bind(address).unwrap();
    let serving = spawn(move || {
        let mut buffer = [0; 4096];
        let (length, client) = udp.recv_from(&mut buffer).unwrap();
        let mut cut = zone().reply(&buffer[..length], Fault::None).unwrap();
        cut[2] |= 2;
        // Cut in the middle of a record, as some servers do.
        cut.truncate(cut.len() - 20);
        udp.send_to(&cut, client).unwrap();
        let (mut stream, _) = tcp.accept().unwrap();
        let mut prefix = [0; 2];
        stream.read_exact(&mut prefix).unwrap();
        let mut packet = vec![0; u16::from_be_bytes(prefix).into()];
        stream.read_exact(&mut packet).unwrap();
        let reply = zone().reply(&packet, Fault::None).unwrap();
        stream.write_all(&(reply.len() as u16).to_be_bytes()).unwrap();
        stream.write_all(&reply).unwrap();
    });
    assert_eq!(ask(&[address]), good());
    serving.join().unwrap();
}
