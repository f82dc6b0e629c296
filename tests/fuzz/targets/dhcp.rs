use systemmanager_mcp::init::dhcp::{self, Answer};

pub fn run(bytes: &[u8]) {
    // the parts that a server repeats, so that what follows is read
    let mut message = [bytes, &[0; 240]].concat();
    message[..3].copy_from_slice(&[2, 1, 6]);
    message[4..8].copy_from_slice(&7_u32.to_be_bytes());
    message[28..34].fill(1);
    message[236..240].copy_from_slice(&[99, 130, 83, 99]);
    if let Some(Answer::Offer(lease) | Answer::Ack(lease)) = dhcp::parse(&message, 7, [1; 6]) {
        assert!(lease.prefix <= 32 && lease.renew < lease.seconds && !lease.address.is_unspecified());
        assert!(lease.domain.is_none_or(|domain| !domain.contains(char::is_whitespace)));
    }
}
