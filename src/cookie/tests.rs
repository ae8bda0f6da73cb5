//! The test vectors of RFC 9018, appendix A, and what is good for how long.

use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::*;

fn octets<const N: usize>(text: &str) -> [u8; N] {
    HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap()
}

fn cookie(text: &str) -> Cookie {
    Cookie::read(&HEXLOWER.decode(text.as_bytes()).unwrap()).unwrap()
}

fn secret(text: &str) -> Secret {
    Secret::new(octets(text))
}

const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";

fn cookies() -> Cookies {
    Cookies::new(secret(SECRET), Vec::new(), false)
}

#[test]
fn vectors() {
    let client: IpAddr = "198.51.100.100".parse().unwrap();
    let learnt = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
    // A.1: a client without a server's cookie.
    let answer = cookies().answer(cookie("2464c4abcf10c957"), client, 1_559_731_985);
    assert_eq!(answer, (Standing::New, octets(learnt)));
    // A.2: the same client, forty minutes later.
    let answer = cookies().answer(cookie(learnt), client, 1_559_734_385);
    assert_eq!(answer, (Standing::Good, octets("2464c4abcf10c957010000005cf7a871d4a564a1442aca77")));
    // A.3: reserved octets that are not zero, renewed.
    let other: IpAddr = "203.0.113.203".parse().unwrap();
    let query = cookie("fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5");
    assert_eq!(cookies().answer(query, other, 0x5cf7_8f71).0, Standing::Good);
    let renewed = octets("fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e");
    assert_eq!(cookies().answer(query, other, 1_559_734_700).1, renewed);
    // A.4: a cookie made with the secret before.
    let (old, new) = ("dd3bdf9344b678b185a6f5cb60fca715", "445536bcd2513298075a5d379663c962");
    let rolled = Cookies::new(secret(new), vec![secret(old)], false);
    let query = cookie("22681ab97d52c298010000005cf7c57926556bd0934c72f8");
    let client = "2001:db8:220:1:59de:d0f4:8769:82b8".parse().unwrap();
    let answer = rolled.answer(query, client, 1_559_741_961);
    assert_eq!(answer, (Standing::Good, octets("22681ab97d52c298010000005cf7c609a6bb79d16625507a")));
    assert_eq!(
        Cookies::new(secret(new), vec![], false).answer(query, client, 1_559_741_961).0,
        Standing::Bad
    );
}

#[test]
fn good_for_an_hour_and_given_again_for_half_of_it() {
    let client: IpAddr = "192.0.2.1".parse().unwrap();
    let made_at = u32::MAX - 1000;
    let (_, made) = cookies().answer(cookie("0123456789abcdef"), client, made_at);
    let query = Cookie::read(&made).unwrap();
    for (later, standing, same) in [
        (0, Standing::Good, true),
        (1800, Standing::Good, true),
        (1801, Standing::Good, false),
        (3600, Standing::Good, false),
        (3601, Standing::Bad, false),
        (0u32.wrapping_sub(300), Standing::Good, true),
        (0u32.wrapping_sub(301), Standing::Bad, false),
        (1 << 31, Standing::Bad, false),
    ] {
        let now = made_at.wrapping_add(later);
        let (is, answer) = cookies().answer(query, client, now);
        assert_eq!((is, answer == made), (standing, same), "{later}");
        // What was given is good now in any case.
        assert_eq!(cookies().answer(Cookie::read(&answer).unwrap(), client, now).0, Standing::Good);
    }
    assert_eq!(cookies().answer(query, "192.0.2.2".parse().unwrap(), made_at).0, Standing::Bad);
    assert_eq!(cookies().answer(query, "::ffff:192.0.2.1".parse().unwrap(), made_at).0, Standing::Bad);
    let version_2 =
        Cookie { server: query.server.map(|server| join([2], *server.last_chunk::<15>().unwrap())), ..query };
    assert_eq!(cookies().answer(version_2, client, made_at).0, Standing::Bad);
}

#[test]
fn lengths() {
    for length in 0..50 {
        let data = vec![1; length];
        let read = Cookie::read(&data);
        assert_eq!(read.is_some(), matches!(length, 8 | 16..=40), "{length}");
        let server = read.and_then(|cookie| cookie.server);
        assert_eq!(server.is_some(), matches!(length, 16..=40));
        assert_eq!(server == Some([1; 16]), length == 24);
    }
    assert_eq!(format!("{:?}", secret(SECRET)), "Secret");
}

proptest! {
    #[test]
    fn a_changed_bit_is_noticed(client: [u8; 8], address: IpAddr, now: u32, bit in 0usize..192) {
        let (_, mut made) = cookies().answer(Cookie { client, server: None }, address, now);
        prop_assert_eq!(cookies().answer(Cookie::read(&made).unwrap(), address, now).0, Standing::Good);
        made[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(cookies().answer(Cookie::read(&made).unwrap(), address, now).0, Standing::Bad);
    }
}
