//! One replica's connection: reconnects for ever, and between hello and hang-up ships what is missing.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use env::{SharedClock, SharedRandom, Tasks};
use storage::{Frame, FrameHash, FrameSource, IntervalSet, LayoutId, StreamId, StreamInfo};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};

use crate::config::UplinkConfig;
use crate::cursor::Cursor;
use crate::durable::Acknowledged;
use crate::forks::Forks;
use crate::metrics::{Metrics, replica};
use crate::shipping::Shipping;
use crate::status::SharedStatus;
use crate::wire::{self, Down, Hello, Refusal, Up, Welcome, ends};

/// How long a replica may take to answer the hello.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the cursor's file is written.
const CURSOR_INTERVAL: Duration = Duration::from_secs(5);
/// A replica that could not take a frame is left alone for so long.
const UNAVAILABLE_PAUSE: Duration = Duration::from_secs(1);

/// Everything that shipping to one replica needs.
pub(crate) struct Shipper {
    pub(crate) endpoint: String,
    pub(crate) config: Arc<UplinkConfig>,
    pub(crate) source: Arc<dyn FrameSource>,
    pub(crate) clock: SharedClock,
    pub(crate) random: SharedRandom,
    pub(crate) forks: Arc<Forks>,
    pub(crate) metrics: Metrics,
    pub(crate) status: SharedStatus,
    pub(crate) acknowledged: Acknowledged,
    pub(crate) tasks: Tasks,
}

impl Shipper {
    /// Connects, ships, and connects again, until the tasks are stopped.
    pub(crate) async fn run(self) {
        let mut cursor = Cursor::load(&self.config.cursor_dir, &self.endpoint);
        cursor.durable.iter().for_each(|(stream, set)| self.acknowledged.set(stream, set));
        let mut pause = UplinkConfig::RECONNECT_MIN;
        while !self.tasks.is_stopping() {
            let ended = tokio::select! {
                ended = self.connection(&mut cursor) => ended,
                () = self.tasks.stopping() => break,
            };
            self.disconnected(&ended.why);
            pause = if ended.welcomed {
                UplinkConfig::RECONNECT_MIN
            } else {
                (pause * 2).min(UplinkConfig::RECONNECT_MAX)
            };
            let jittered = pause.mul_f64(0.5 + 0.5 * self.random.next_unit());
            tokio::select! {
                () = tokio::time::sleep(jittered) => {}
                () = self.tasks.stopping() => break,
            }
        }
        self.save(&cursor);
    }

    async fn connection(&self, cursor: &mut Cursor) -> Ended {
        match timeout(WELCOME_TIMEOUT * 2, self.introduce()).await {
            Err(_) => Ended { why: "no answer to the hello".to_owned(), welcomed: false },
            Ok(Err(why)) => Ended { why, welcomed: false },
            Ok(Ok(mut connection)) => {
                let why = connection.ship(cursor).await;
                Ended { why, welcomed: true }
            }
        }
    }

    /// Connects and exchanges hello and welcome.
    async fn introduce(&self) -> Result<Connection<'_>, String> {
        let (up, outgoing) = mpsc::channel(16);
        let (stream_infos, own) = (self.source.streams(), self.source.own_stream());
        let last: Vec<(u64, FrameHash)> = stream_infos.iter().map(|info| self.last_frame(&info.id)).collect();
        let hello = Hello {
            agent: self.config.agent.clone(),
            ha_group: self.config.ha_group.clone(),
            ephemeral: self.config.ephemeral,
            labels: self.config.labels.clone(),
            clock_ms: self.clock.now_ms(),
            instance: own.id.epoch,
            streams: stream_infos.clone(),
            last: last.clone(),
        };
        up.send(Up::Hello(hello).into()).await.map_err(|_| "the connection closed".to_owned())?;
        let mut down = wire::connect(&self.endpoint, self.config.tls.as_ref(), outgoing).await?;
        let first = timeout(WELCOME_TIMEOUT, down.message())
            .await
            .map_err(|_| "no answer to the hello".to_owned())?;
        let message =
            first.map_err(|status| status.message().to_owned())?.ok_or("hung up before a welcome")?;
        let Down::Welcome(welcome) = Down::try_from(message).map_err(|error| error.to_string())? else {
            return Err("the first answer was no welcome".to_owned());
        };
        Ok(self.welcomed(welcome, &stream_infos, &last, up, down))
    }

    /// The number and hash of the last kept frame of a stream; 0 where none is kept.
    fn last_frame(&self, stream: &StreamId) -> (u64, FrameHash) {
        let last = self.source.held(stream).last().unwrap_or(0);
        let frames = self.source.frames(stream, last, 1).unwrap_or_default();
        frames.first().map_or((0, FrameHash::ROOT), |frame| (frame.key().seq, frame.hash()))
    }

    fn welcomed(
        &self,
        welcome: Welcome,
        hello: &[StreamInfo],
        last: &[(u64, FrameHash)],
        up: UpSender,
        down: DownReceiver,
    ) -> Connection<'_> {
        tracing::info!(replica = %welcome.replica, endpoint = %self.endpoint, "uplink connected");
        let label = replica(&self.endpoint);
        self.metrics.connected.get_or_create(&label).set(1);
        self.metrics.connects.get_or_create(&label).inc();
        self.status.update(|status| {
            status.connected = true;
            status.name.clone_from(&welcome.replica);
            status.since_ms = self.clock.now_ms();
        });
        let mut shipping = Shipping::default();
        for ((info, received), &(last, _)) in hello.iter().zip(&welcome.received).zip(last) {
            // Beyond our own last frame only a copy of this machine can have written under our name.
            let theirs = IntervalSet::from_iter(last.checked_add(1).map(|from| from..=u64::MAX));
            shipping.received(&info.id, &received.difference(&theirs));
            self.acknowledged.cut(&info.id, received);
        }
        // Whoever starts to listen can apply nothing of a group before its next keyframe.
        self.source.request_keyframes();
        Connection {
            shipper: self,
            shipping,
            introduced: hello.iter().map(|info| info.id.clone()).collect(),
            layouts: HashSet::new(),
            waiting: None,
            paused_until: None,
            up,
            down,
            log: self.source.watch(),
            heartbeat: ticker(welcome.heartbeat.min(Duration::from_secs(60)) / 2),
            silence_max: welcome.heartbeat * 2,
        }
    }

    fn disconnected(&self, why: &str) {
        self.metrics.connected.get_or_create(&replica(&self.endpoint)).set(0);
        let (was_connected, repeated) = {
            let status = self.status.get();
            (status.connected, status.last_error == why)
        };
        if was_connected || !repeated {
            tracing::warn!(endpoint = %self.endpoint, %why, "uplink disconnected; frames wait in the store");
        }
        self.status.update(|status| {
            if status.connected {
                status.since_ms = self.clock.now_ms();
            }
            status.connected = false;
            why.clone_into(&mut status.last_error);
        });
    }

    fn save(&self, cursor: &Cursor) {
        if let Err(error) = cursor.save() {
            tracing::warn!(endpoint = %self.endpoint, %error, "the cursor could not be written; the replica will tell what it has");
        }
    }
}

type UpSender = mpsc::Sender<ends::Message>;
type DownReceiver = ends::Incoming;

/// How a connection ended.
struct Ended {
    why: String,
    welcomed: bool,
}

/// A connection after its welcome.
struct Connection<'a> {
    shipper: &'a Shipper,
    shipping: Shipping,
    /// Streams that the replica was told of on this connection.
    introduced: HashSet<StreamId>,
    /// Layouts that the replica has, as far as this connection knows.
    layouts: HashSet<LayoutId>,
    /// Frames that wait for the answer to an offer of their layouts.
    waiting: Option<(Vec<LayoutId>, Vec<Frame>)>,
    paused_until: Option<Instant>,
    up: UpSender,
    down: DownReceiver,
    log: watch::Receiver<u64>,
    heartbeat: Interval,
    silence_max: Duration,
}

/// All that can wake a connection.
enum Event {
    Answer(Down),
    Flush,
    Heartbeat,
    SaveCursor,
    Lost(String),
}

impl Connection<'_> {
    /// Ships until the connection ends; tells why.
    async fn ship(&mut self, cursor: &mut Cursor) -> String {
        let mut flush = ticker(self.shipper.config.flush_interval);
        let mut save = ticker(CURSOR_INTERVAL);
        let mut heard = Instant::now();
        loop {
            let silence = tokio::time::sleep_until(heard + self.silence_max);
            let event = tokio::select! {
                answer = self.down.message() => {
                    heard = Instant::now();
                    incoming(answer)
                }
                _ = flush.tick() => Event::Flush,
                _ = self.heartbeat.tick() => Event::Heartbeat,
                _ = save.tick() => Event::SaveCursor,
                () = silence => Event::Lost(format!("silent for {} s", self.silence_max.as_secs())),
            };
            let done = match event {
                Event::Answer(answer) => self.answered(answer).await,
                Event::Flush => self.pump().await,
                Event::Heartbeat => self.send(Up::Heartbeat(self.shipper.clock.now_ms())).await,
                Event::SaveCursor => {
                    cursor.durable.clone_from(self.shipping.durable());
                    self.shipper.save(cursor);
                    self.measure();
                    Ok(())
                }
                Event::Lost(why) => Err(why),
            };
            if let Err(why) = done {
                return why;
            }
        }
    }

    async fn answered(&mut self, answer: Down) -> Result<(), String> {
        match answer {
            Down::Welcome(_) => Err("a second welcome".to_owned()),
            Down::Heartbeat(_) => Ok(()),
            Down::Need(ids) => self.send_needed(&ids).await,
            Down::Ack(durable) => {
                durable.iter().for_each(|(stream, set)| self.shipper.acknowledged.set(stream, set));
                let landed: u64 = durable.iter().map(|(stream, set)| self.shipping.acked(stream, set)).sum();
                self.shipper
                    .metrics
                    .frames_acked
                    .get_or_create(&replica(&self.shipper.endpoint))
                    .inc_by(landed);
                self.pump().await
            }
            Down::Nack { stream, seq, refusal, what } => self.refused(&stream, seq, &refusal, &what),
        }
    }

    /// The answer to an offer: sends the layouts that lack, then the frames that waited for them.
    async fn send_needed(&mut self, ids: &[LayoutId]) -> Result<(), String> {
        for id in ids {
            let layout = self.shipper.source.find_layout(*id);
            let layout = layout.ok_or_else(|| format!("layout {id} is asked for and not kept here"))?;
            self.send(Up::Layout((*layout).clone())).await?;
        }
        if let Some((offered, frames)) = self.waiting.take() {
            self.layouts.extend(offered);
            self.send_frames(frames).await?;
        }
        self.pump().await
    }

    fn refused(&mut self, stream: &StreamId, seq: u64, refusal: &Refusal, what: &str) -> Result<(), String> {
        let label = replica(&self.shipper.endpoint);
        match refusal {
            Refusal::Unavailable => {
                self.shipping.send_again(stream, seq);
                self.paused_until = Some(Instant::now() + UNAVAILABLE_PAUSE);
            }
            Refusal::Corrupt => {
                tracing::error!(%stream, seq, %what, "the replica refused a frame for good; it stays here and is not sent again");
                self.shipper.metrics.parked.get_or_create(&label).inc();
                self.shipping.give_up(stream, &IntervalSet::from_iter([seq..=seq]));
            }
            Refusal::Clone { common } => {
                tracing::error!(%stream, seq, common, "another machine continued this stream; going on in a new epoch");
                self.shipper.metrics.clones.get_or_create(&label).inc();
                let forked = self.shipper.forks.fork(&*self.shipper.source, stream, *common);
                forked.map_err(|error| format!("leaving a cloned stream: {error}"))?;
                self.shipping.give_up(stream, &IntervalSet::from_iter([common.saturating_add(1)..=u64::MAX]));
            }
        }
        Ok(())
    }

    /// Sends missing frames, oldest stream first, until the window is full or an offer waits for its answer.
    async fn pump(&mut self) -> Result<(), String> {
        if self.paused_until.is_some_and(|until| until > Instant::now()) {
            return Ok(());
        }
        self.log.borrow_and_update();
        while self.waiting.is_none() && self.shipping.in_flight_bytes() < UplinkConfig::WINDOW_BYTES {
            let Some((info, frames)) = self.next_batch()? else { break };
            if self.introduced.insert(info.id.clone()) {
                self.send(Up::Stream(info)).await?;
            }
            let unknown: Vec<LayoutId> = unknown_layouts(&frames, &self.layouts);
            if unknown.is_empty() {
                self.send_frames(frames).await?;
            } else {
                self.send(Up::Offer(unknown.clone())).await?;
                self.waiting = Some((unknown, frames));
            }
        }
        Ok(())
    }

    /// The next frames in order that the replica lacks.
    fn next_batch(&mut self) -> Result<Option<(StreamInfo, Vec<Frame>)>, String> {
        let source = &self.shipper.source;
        let mut streams = source.streams();
        streams.sort_by_key(|info| (info.minted_ms, info.id.clone()));
        for info in streams {
            let last = self.shipper.forks.last_common(&info.id);
            loop {
                let missing = self.shipping.missing(&info.id, &source.held(&info.id), last);
                let Some(first) = missing.first() else { break };
                let mut frames = source
                    .frames(&info.id, first, UplinkConfig::BATCH_BYTES)
                    .map_err(|error| format!("reading frames: {error}"))?;
                // Up to here every missing frame was readable or never will be.
                let read_to = frames.last().map_or(u64::MAX, |frame| frame.key().seq);
                frames.retain(|frame| missing.contains(frame.key().seq));
                let readable: IntervalSet =
                    frames.iter().map(|frame| frame.key().seq..=frame.key().seq).collect();
                let asked = missing
                    .difference(&IntervalSet::from_iter(read_to.checked_add(1).map(|from| from..=u64::MAX)));
                let damaged = asked.difference(&readable);
                if !damaged.is_empty() {
                    tracing::warn!(stream = %info.id, frames = %damaged, "frames are damaged here and cannot be shipped");
                    self.shipping.give_up(&info.id, &damaged);
                }
                if !frames.is_empty() {
                    return Ok(Some((info, frames)));
                }
            }
        }
        Ok(None)
    }

    async fn send_frames(&mut self, frames: Vec<Frame>) -> Result<(), String> {
        for frame in &frames {
            self.shipping.sent(frame);
        }
        let label = replica(&self.shipper.endpoint);
        self.shipper.metrics.frames_sent.get_or_create(&label).inc_by(frames.len() as u64);
        let message: ends::Message = Up::Frames(frames).into();
        self.shipper.metrics.bytes_sent.get_or_create(&label).inc_by(wire::size(&message));
        self.up.send(message).await.map_err(|_| "the connection closed".to_owned())
    }

    async fn send(&mut self, message: Up) -> Result<(), String> {
        self.up.send(message.into()).await.map_err(|_| "the connection closed".to_owned())
    }

    fn measure(&self) {
        let source = &self.shipper.source;
        let lag =
            source.streams().iter().map(|info| self.shipping.lag(&info.id, &source.held(&info.id))).sum();
        self.shipper.status.update(|status| status.lag_frames = lag);
        let gauge = self.shipper.metrics.lag.get_or_create(&replica(&self.shipper.endpoint)).clone();
        gauge.set(i64::try_from(lag).unwrap_or(i64::MAX));
    }
}

fn incoming(answer: Result<Option<ends::Answer>, tonic::Status>) -> Event {
    match answer {
        Ok(Some(message)) => {
            Down::try_from(message).map_or_else(|error| Event::Lost(error.to_string()), Event::Answer)
        }
        Ok(None) => Event::Lost("the replica hung up".to_owned()),
        Err(status) => Event::Lost(status.message().to_owned()),
    }
}

fn unknown_layouts(frames: &[Frame], known: &HashSet<LayoutId>) -> Vec<LayoutId> {
    let mut unknown: Vec<LayoutId> =
        frames.iter().flat_map(Frame::layouts).filter(|id| !known.contains(id)).copied().collect();
    unknown.sort_unstable();
    unknown.dedup();
    unknown
}

fn ticker(every: Duration) -> Interval {
    let mut ticker = interval(every.max(Duration::from_millis(10)));
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticker
}
