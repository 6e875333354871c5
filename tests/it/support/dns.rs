//! A name server on loopback, over UDP and TCP, that says what a test tells it to.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_resolver::proto::op::{Message, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;
use wsprobe::probe::Resolver;

/// What the name server says to one question.
#[derive(Clone, Debug)]
pub enum Say {
    /// These addresses, as far as they are of the family that was asked for.
    Addresses(Vec<IpAddr>),
    /// These aliases one after the other, then the addresses.
    Aliases(Vec<&'static str>, Vec<IpAddr>),
    /// An alias and nothing more.
    Dangling(&'static str),
    Code(ResponseCode),
    /// Over UDP only that the answer is too long for it; over TCP these addresses.
    OverTcp(Vec<IpAddr>),
    Nothing,
    /// Something that is not DNS.
    Noise,
    /// An answer to a question that was not asked.
    Mistaken,
}

/// Answers by the question's name, type, and how many questions came before it.
type Script = dyn Fn(&str, RecordType, usize) -> Say + Send + Sync;

pub struct NameServer {
    pub addr: SocketAddr,
    asked: Arc<AtomicUsize>,
    tasks: [JoinHandle<()>; 2],
    resolv_conf: NamedTempFile,
}

impl NameServer {
    /// Says the same to every question.
    pub async fn says(say: Say) -> NameServer {
        NameServer::plays(move |_, _, _| say.clone()).await
    }

    pub async fn plays(script: impl Fn(&str, RecordType, usize) -> Say + Send + Sync + 'static) -> NameServer {
        // one port for both protocols: the next free one of UDP may be taken in TCP
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().expect("address")).await {
                break (udp, tcp);
            }
        };
        let addr = tcp.local_addr().expect("address");
        let (asked, script): (_, Arc<Script>) = (Arc::new(AtomicUsize::new(0)), Arc::new(script));
        let tasks =
            [tokio::spawn(over_udp(udp, script.clone(), asked.clone())), tokio::spawn(over_tcp(tcp, script, asked.clone()))];
        let resolv_conf = resolv_conf("127.0.0.1");
        NameServer { addr, asked, tasks, resolv_conf }
    }

    /// A resolver that asks this server.
    pub fn resolver(&self) -> Resolver {
        Resolver::of(self.resolv_conf.path(), self.addr.port())
    }

    /// The questions so far.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// A resolver configuration that names one server.
pub fn resolv_conf(server: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("temporary file");
    writeln!(file, "nameserver {server}").expect("write");
    file
}

async fn over_udp(socket: UdpSocket, script: Arc<Script>, asked: Arc<AtomicUsize>) {
    let mut buffer = [0u8; 1500];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        if let Some(answer) = answer(&buffer[..length], &*script, &asked, true) {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

async fn over_tcp(listener: TcpListener, script: Arc<Script>, asked: Arc<AtomicUsize>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let (script, asked) = (script.clone(), asked.clone());
        tokio::spawn(async move {
            while let Ok(length) = stream.read_u16().await {
                let mut question = vec![0u8; usize::from(length)];
                stream.read_exact(&mut question).await?;
                if let Some(answer) = answer(&question, &*script, &asked, false) {
                    stream.write_all(&[&(answer.len() as u16).to_be_bytes()[..], &answer].concat()).await?;
                }
            }
            std::io::Result::Ok(())
        });
    }
}

fn answer(question: &[u8], script: &Script, asked: &AtomicUsize, udp: bool) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).expect("a question");
    let query = question.queries.first().expect("a query").clone();
    let name = query.name().to_string().trim_end_matches('.').to_owned();
    let say = script(&name, query.query_type(), asked.fetch_add(1, Ordering::Relaxed));
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.recursion_desired = true;
    answer.metadata.recursion_available = true;
    answer.add_query(query.clone());
    match say {
        Say::Addresses(ips) => addresses(&mut answer, query.name(), &query, &ips),
        Say::Aliases(names, ips) => {
            let last = aliases(&mut answer, &query, &names);
            addresses(&mut answer, &last, &query, &ips);
        }
        Say::Dangling(name) => {
            aliases(&mut answer, &query, &[name]);
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        Say::Code(code) => answer.metadata.response_code = code,
        Say::OverTcp(_) if udp => answer.metadata.truncation = true,
        Say::OverTcp(ips) => addresses(&mut answer, query.name(), &query, &ips),
        Say::Nothing => return None,
        Say::Noise => return Some(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        Say::Mistaken => answer.metadata.id = !answer.metadata.id,
    }
    let bytes = answer.to_vec().expect("an answer");
    if udp && bytes.len() > usize::from(question.max_payload()) {
        answer.metadata.truncation = true;
        answer.answers.clear();
        return Some(answer.to_vec().expect("an answer"));
    }
    Some(bytes)
}

fn addresses(answer: &mut Message, name: &Name, query: &Query, ips: &[IpAddr]) {
    for ip in ips {
        let data = match (ip, query.query_type()) {
            (IpAddr::V4(ip), RecordType::A) => RData::A(A(*ip)),
            (IpAddr::V6(ip), RecordType::AAAA) => RData::AAAA(AAAA(*ip)),
            _ => continue,
        };
        answer.add_answer(Record::from_rdata(name.clone(), 60, data));
    }
}

fn aliases(answer: &mut Message, query: &Query, names: &[&str]) -> Name {
    names.iter().fold(query.name().clone(), |from, to| {
        let to = Name::from_str(to).expect("a name");
        answer.add_answer(Record::from_rdata(from, 60, RData::CNAME(CNAME(to.clone()))));
        to
    })
}
