//! One agent's connection: hello, welcome, then frames in and acknowledgements out.

use std::collections::BTreeMap;
use std::sync::Arc;

use storage::{Frame, FrameError, FrameHash, IntervalSet, Receipt, StreamId, StreamInfo};
use tokio::time::{MissedTickBehavior, interval};
use uplink::wire::{Down, Hello, Refusal, Up, Welcome};

use crate::Receiver;
use crate::agents::Claim;
use crate::wire::{Hangup, Incoming, Outgoing};

impl Receiver {
    /// Serves one connection in the background until it ends.
    pub(crate) fn accept(self: &Arc<Self>, incoming: Incoming, outgoing: Outgoing, address: String) {
        let receiver = Arc::clone(self);
        self.tasks.spawn(async move {
            let stopping = receiver.tasks.token();
            let why = tokio::select! {
                ended = receiver.serve(incoming, &outgoing, &address) => ended.err(),
                () = stopping.cancelled() => Some(Hangup::Lost("the replica is stopping".to_owned())),
            };
            if let Some(why) = why {
                tracing::warn!(%address, %why, "an agent's connection ended");
                outgoing.end(&why).await;
            }
        });
    }

    /// One connection from hello to hang-up.
    async fn serve(&self, mut incoming: Incoming, outgoing: &Outgoing, address: &str) -> Result<(), Hangup> {
        let hello = match tokio::time::timeout(self.options.heartbeat, incoming.next()).await {
            Ok(Ok(Some(Up::Hello(hello)))) => hello,
            Ok(Ok(_)) => return Err(Hangup::Invalid("the first message was no hello".to_owned())),
            Ok(Err(why)) => return Err(why),
            Err(_) => return Err(Hangup::Invalid("no hello within a heartbeat".to_owned())),
        };
        let number = self.claim(&hello, address)?;
        tracing::info!(agent = %hello.agent, %address, "agent connected");
        self.metrics.connected.inc();
        let mut connection = Connection {
            receiver: self,
            agent: hello.agent.clone(),
            number,
            acked: BTreeMap::new(),
            outgoing,
        };
        let ended = async {
            connection.welcome(&hello).await?;
            connection.run(&mut incoming).await
        }
        .await;
        self.metrics.connected.dec();
        self.agents.left(&hello.agent, number);
        ended
    }

    fn claim(&self, hello: &Hello, address: &str) -> Result<u64, Hangup> {
        let claim = Claim {
            name: hello.agent.clone(),
            labels: hello.labels.clone(),
            ephemeral: hello.ephemeral,
            ha_group: hello.ha_group.clone(),
            instance: hello.instance,
            address: address.to_owned(),
        };
        let skew = vec![("agent".to_owned(), hello.agent.clone())];
        self.metrics.skew.get_or_create(&skew).set(hello.clock_ms.saturating_sub(self.clock.now_ms()));
        self.agents.claim(claim).map_err(|refused| {
            self.metrics.connections_refused.inc();
            Hangup::Refused(refused.to_string())
        })
    }
}

/// A connection whose name is claimed.
struct Connection<'a> {
    receiver: &'a Receiver,
    agent: String,
    number: u64,
    /// What was last acknowledged of each stream that this connection touched.
    acked: BTreeMap<StreamId, IntervalSet>,
    outgoing: &'a Outgoing,
}

impl Connection<'_> {
    async fn welcome(&mut self, hello: &Hello) -> Result<(), Hangup> {
        let mut received = Vec::with_capacity(hello.streams.len());
        for (at, info) in hello.streams.iter().enumerate() {
            self.open(info.clone())?;
            received.push(self.received_of(&info.id, hello.last.get(at).copied()));
        }
        let welcome = Welcome {
            replica: self.receiver.options.replica.clone(),
            clock_ms: self.receiver.clock.now_ms(),
            received,
            heartbeat: self.receiver.options.heartbeat,
        };
        self.outgoing.send(Down::Welcome(welcome)).await
    }

    /// What is here of a stream. Where the agent's last frame is another one here, it is left out: the
    /// agent then offers it, and is told of its copy.
    fn received_of(&self, stream: &StreamId, last: Option<(u64, FrameHash)>) -> IntervalSet {
        let received = self.receiver.sink.received(stream);
        let Some((seq, hash)) = last.filter(|(seq, _)| received.contains(*seq)) else { return received };
        let frames = self.receiver.source.frames(stream, seq, 1).unwrap_or_default();
        let other = frames.first().is_some_and(|frame| frame.key().seq == seq && frame.hash() != hash);
        if other { received.difference(&IntervalSet::from_iter([seq..=seq])) } else { received }
    }

    fn open(&mut self, info: StreamInfo) -> Result<(), Hangup> {
        if *info.id.agent != self.agent {
            return Err(Hangup::Invalid(format!("agent {:?} may not ship stream {}", self.agent, info.id)));
        }
        self.acked.entry(info.id.clone()).or_default();
        self.receiver.sink.open_stream(info).map_err(|error| Hangup::Lost(error.to_string()))
    }

    async fn run(&mut self, incoming: &mut Incoming) -> Result<(), Hangup> {
        let mut acks = interval(self.receiver.options.ack_interval);
        let mut beats = interval(self.receiver.options.heartbeat / 2);
        acks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let silence_max = self.receiver.options.heartbeat * 2;
        let silence = tokio::time::sleep(silence_max);
        tokio::pin!(silence);
        loop {
            tokio::select! {
                message = incoming.next() => {
                    let Some(message) = message? else { return Ok(()) };
                    silence.as_mut().reset(tokio::time::Instant::now() + silence_max);
                    if !self.receiver.agents.heard(&self.agent, self.number) {
                        return Err(Hangup::Lost("another connection took the name over".to_owned()));
                    }
                    self.received(message).await?;
                }
                _ = acks.tick() => self.acknowledge().await?,
                _ = beats.tick() => self.outgoing.send(Down::Heartbeat(self.receiver.clock.now_ms())).await?,
                () = &mut silence => return Err(Hangup::Lost("the agent is silent".to_owned())),
            }
        }
    }

    async fn received(&mut self, message: Up) -> Result<(), Hangup> {
        match message {
            Up::Hello(_) => Err(Hangup::Invalid("a second hello".to_owned())),
            Up::Stream(info) => self.open(info),
            Up::Heartbeat(_) => Ok(()),
            Up::Offer(ids) => self.outgoing.send(Down::Need(self.receiver.sink.unknown_layouts(&ids))).await,
            Up::Layout(layout) => {
                self.receiver.sink.add_layout(layout).map_err(|error| Hangup::Lost(error.to_string()))
            }
            Up::Frames(frames) => {
                for frame in frames {
                    self.offer(frame).await?;
                }
                Ok(())
            }
        }
    }

    /// Offers one frame to the store, and tells the agent when it was not taken.
    async fn offer(&mut self, frame: Frame) -> Result<(), Hangup> {
        let metrics = &self.receiver.metrics;
        metrics.received.inc();
        let key = frame.key().clone();
        if *key.stream.agent != self.agent {
            metrics.refuse("foreign");
            return Err(Hangup::Invalid(format!(
                "agent {:?} may not ship stream {}",
                self.agent, key.stream
            )));
        }
        let (refusal, what) = match self.receiver.sink.append(frame) {
            Ok(Receipt::Appended(_)) => {
                metrics.appended.inc();
                return Ok(());
            }
            Ok(Receipt::Duplicate(_)) => {
                metrics.duplicate.inc();
                return Ok(());
            }
            Ok(Receipt::NeedLayout(id)) => {
                self.outgoing.send(Down::Need(vec![id])).await?;
                (Refusal::Unavailable, format!("layout {id} is unknown here"))
            }
            Ok(Receipt::Clone { common }) => {
                tracing::error!(stream = %key.stream, seq = key.seq, common, "two machines continue one stream: one is a copy");
                (Refusal::Clone { common }, "another machine continued this stream".to_owned())
            }
            Err(error @ FrameError::Corrupt { .. }) => (Refusal::Corrupt, error.to_string()),
            Err(error) => (Refusal::Unavailable, error.to_string()),
        };
        metrics.refuse(match refusal {
            Refusal::Corrupt => "corrupt",
            Refusal::Clone { .. } => "clone",
            Refusal::Unavailable => "unavailable",
        });
        self.outgoing.send(Down::Nack { stream: key.stream, seq: key.seq, refusal, what }).await
    }

    /// Tells what became durable since the last time.
    async fn acknowledge(&mut self) -> Result<(), Hangup> {
        let mut news = Vec::new();
        for (stream, acked) in &mut self.acked {
            let durable = self.receiver.sink.durable(stream);
            if durable != *acked {
                acked.clone_from(&durable);
                news.push((stream.clone(), durable));
            }
        }
        if news.is_empty() { Ok(()) } else { self.outgoing.send(Down::Ack(news)).await }
    }
}
