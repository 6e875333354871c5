//! Frames against RFC 6455, whether a message or the close is due.

use wsprobe::outcome::Phase::{Close, Message};
use wsprobe::outcome::Reason::ProtocolError;

use super::{Row, plays, row};
use crate::support::probing::upgraded;
use crate::support::stage::Act::{self, *};
use crate::support::stage::{frame, health, write};

pub fn rows() -> Vec<Row> {
    let violation = |what, bytes: &[u8]| row(what, ProtocolError, Message, plays(upgraded([write(bytes), Hold])));
    let at_close = |what, acts: Vec<Act>| row(what, ProtocolError, Close, plays(upgraded(acts)));
    vec![
        violation("a masked frame", b"\x81\x82abcd\x09\x0b"),
        violation("RSV1 set (compression that was not negotiated)", b"\xc1\x02ok"),
        violation("RSV2 set", b"\xa1\x02ok"),
        violation("RSV3 set", b"\x91\x02ok"),
        violation("a reserved data opcode", b"\x83\x00"),
        violation("a reserved control opcode", b"\x8b\x00"),
        violation("text that is not UTF-8", &frame(1, b"\xff\xfe")),
        violation("text that ends inside a character", &frame(1, b"\xc3")),
        violation("a surrogate in UTF-8", &frame(1, b"\xed\xa0\x80")),
        violation("a continuation of nothing", b"\x80\x02ok"),
        violation("a new message inside a fragmented one", b"\x01\x01a\x01\x01b"),
        violation("a fragmented ping", b"\x09\x00"),
        violation("a fragmented close", b"\x08\x02\x03\xe8"),
        violation("a ping of 126 bytes", &frame(9, &[0; 126])),
        violation("a close frame of 126 bytes", &frame(8, &[3; 126])),
        violation("a length that is not written in its shortest form", b"\x81\x7e\x00\x02ok\x88\x02\x03\xe8"),
        violation("a length with its highest bit set", b"\x81\x7f\x80\x00\x00\x00\x00\x00\x00\x00"),
        violation("a close frame of one byte before a message", &frame(8, b"\x03")),
        violation("close 1006, which may not be sent, before a message", &frame(8, &1006u16.to_be_bytes())),
        violation("HTML after the 101", b"<html><body>oops</body></html>"),
        violation("a second HTTP head after the 101", b"HTTP/1.1 200 OK\r\n\r\n"),
        at_close("a bad frame after the message", vec![health(), write(b"\xc1\x00"), Hold]),
        at_close(
            "a bad frame in the same bytes as the message",
            vec![Write([frame(1, b"ok"), b"\xc1\x00".to_vec()].concat()), Hold],
        ),
        at_close("text that is not UTF-8 after the message", vec![health(), write(frame(1, b"\xff")), Hold]),
        at_close("a close frame of one byte", vec![health(), write(frame(8, b"\x03")), Hold]),
        at_close("a close reason that is not UTF-8", vec![health(), write(frame(8, b"\x03\xe8\xff")), Hold]),
        at_close("close 0", vec![health(), write(frame(8, b"\0\0")), Hold]),
        at_close("close 999", vec![health(), write(frame(8, &999u16.to_be_bytes())), Hold]),
        at_close("close 1005, which may not be sent", vec![health(), write(frame(8, &1005u16.to_be_bytes())), Hold]),
        at_close("close 1006, which may not be sent", vec![health(), write(frame(8, &1006u16.to_be_bytes())), Hold]),
        at_close("close 1015, which may not be sent", vec![health(), write(frame(8, &1015u16.to_be_bytes())), Hold]),
        at_close("close 5000", vec![health(), write(frame(8, &5000u16.to_be_bytes())), Hold]),
    ]
}
