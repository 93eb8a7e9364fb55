//! One connection to the broker that is kept up: made again, with its queues, whenever it breaks.
//!
//! The client library can do so itself, and hangs in silence when it gives up, or when only a channel breaks. So any
//! fault, of a channel too, ends the whole connection here, and one task makes the next one, for as long as it takes.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures_util::StreamExt;
use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection, Event};
use tokio::sync::watch;
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::cause;
use super::connect::{Cord, connect};
use super::settings::RabbitSettings;
use super::topology::Queues;
use crate::health::Health;

/// The first pause between two tries to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// How often a connection is asked whether it lives: it may end without a word.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A connection that is kept up for as long as this lives.
pub(super) struct Link {
    address: String,
    state: watch::Receiver<State>,
    _supervisor: AbortOnDropHandle<()>,
}

#[derive(Clone)]
enum State {
    /// And why.
    Down(String),
    Up(Arc<Session>),
    /// The broker is short of something, says of what, and reads nothing from us until it has enough.
    Blocked(Arc<Session>, String),
}

/// One life of the connection.
pub(super) struct Session {
    connection: Connection,
    cord: Cord,
    /// Open channels, in confirm mode, on which nothing is under way.
    idle: Mutex<Vec<Channel>>,
    /// Why it is to end, once somebody found out.
    fault: watch::Sender<Option<String>>,
}

impl Link {
    /// Begins to connect. `role` tells the connections of a process apart.
    pub(super) fn new(settings: Arc<RabbitSettings>, queues: Queues, role: &'static str) -> Self {
        let (sender, state) = watch::channel(State::Down("connecting".into()));
        let address = settings.address();
        let supervisor = Supervisor { settings, queues, role, state: sender, told: BTreeSet::new() };
        Self { address, state, _supervisor: AbortOnDropHandle::new(tokio::spawn(supervisor.run())) }
    }

    /// The connection, once there is one.
    pub(super) async fn session(&self) -> Arc<Session> {
        self.wait_for(|state| state.session().is_some()).await
    }

    /// The connection, once there is one from which the broker reads.
    pub(super) async fn open_session(&self) -> Arc<Session> {
        self.wait_for(|state| matches!(state, State::Up(_))).await
    }

    async fn wait_for(&self, is_wanted: impl FnMut(&State) -> bool) -> Arc<Session> {
        let state = self.state.clone().wait_for(is_wanted).await.ok().and_then(|state| state.session().cloned());
        match state {
            Some(session) => session,
            // The task that makes connections has ended, so this one is about to as well.
            None => std::future::pending().await,
        }
    }

    /// Has the connection made anew, and waits until it is given up.
    pub(super) async fn replace(&self, session: &Arc<Session>, why: String) {
        session.fail(why);
        self.replaced(session).await;
    }

    /// Waits until the connection is given up.
    pub(super) async fn replaced(&self, session: &Arc<Session>) {
        let is_gone = |state: &State| !state.session().is_some_and(|current| Arc::ptr_eq(current, session));
        let _ = self.state.clone().wait_for(is_gone).await;
    }

    /// Whether the broker reads from us, and if not, why.
    pub(super) fn health(&self) -> Health {
        match &*self.state.borrow() {
            State::Up(_) => Health::Ready,
            State::Down(why) => Health::NotReady(format!("no connection to the broker at `{}`: {why}", self.address)),
            State::Blocked(_, why) => {
                Health::NotReady(format!("the broker at `{}` takes no messages: {why}", self.address))
            }
        }
    }

    /// Why nothing can be sent now; none if it can.
    pub(super) fn obstacle(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::Up(_) => None,
            State::Down(why) => Some(format!("no connection: {why}")),
            State::Blocked(_, why) => Some(format!("it takes no messages: {why}")),
        }
    }
}

impl State {
    fn session(&self) -> Option<&Arc<Session>> {
        match self {
            Self::Down(_) => None,
            Self::Up(session) | Self::Blocked(session, _) => Some(session),
        }
    }
}

impl Session {
    /// A channel of one's own.
    pub(super) async fn open_channel(&self) -> lapin::Result<Channel> {
        self.connection.create_channel().await
    }

    /// A channel in confirm mode for one thing at a time, to be given to [`Session::put_back`] once that is done.
    pub(super) async fn channel(&self) -> lapin::Result<Channel> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(channel) => Ok(channel),
            None => {
                let channel = self.open_channel().await?;
                channel.confirm_select(ConfirmSelectOptions::default()).await?;
                Ok(channel)
            }
        }
    }

    pub(super) fn put_back(&self, channel: Channel) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(channel);
    }

    /// Has the connection made anew.
    pub(super) fn fail(&self, why: String) {
        self.fault.send_if_modified(|fault| {
            let is_first = fault.is_none();
            fault.get_or_insert(why);
            is_first
        });
    }
}

/// The task behind a [`Link`].
struct Supervisor {
    settings: Arc<RabbitSettings>,
    queues: Queues,
    role: &'static str,
    state: watch::Sender<State>,
    /// Causes of the present outage that the log has.
    told: BTreeSet<String>,
}

impl Supervisor {
    async fn run(mut self) {
        let mut pauses = self.pauses();
        loop {
            let begun = Instant::now();
            let why = match self.open().await {
                Ok(session) => {
                    let session = Arc::new(session);
                    self.tell_up();
                    self.state.send_replace(State::Up(Arc::clone(&session)));
                    let why = self.watch_over(&session).await;
                    session.cord.cut();
                    why
                }
                Err(why) => why,
            };
            self.tell_down(&why);
            self.state.send_replace(State::Down(why));
            // One that breaks as soon as it is made is not made at once again.
            if begun.elapsed() > self.settings.times.pause {
                pauses = self.pauses();
            }
            sleep(pauses.next().unwrap_or(self.settings.times.pause)).await;
        }
    }

    fn pauses(&self) -> ExponentialBackoff {
        let pauses =
            ExponentialBuilder::default().with_min_delay(FIRST_PAUSE).with_max_delay(self.settings.times.pause);
        pauses.with_jitter().without_max_times().build()
    }

    async fn open(&self) -> Result<Session, String> {
        let cord = Cord::default();
        let opened = async {
            let connection = connect(&self.settings, self.role, &cord).await?;
            self.queues.declare_all(&connection).await?;
            Ok(connection)
        };
        let late = || Err(format!("not ready within {:?}", self.settings.times.connect));
        match timeout(self.settings.times.connect, opened).await.unwrap_or_else(|_| late()) {
            Ok(connection) => Ok(Session { connection, cord, idle: Mutex::default(), fault: watch::Sender::new(None) }),
            Err(why) => {
                cord.cut();
                Err(why)
            }
        }
    }

    /// Returns once the connection is of no use any more, and says why.
    async fn watch_over(&self, session: &Arc<Session>) -> String {
        let mut events = std::pin::pin!(session.connection.events_listener());
        let mut faults = session.fault.subscribe();
        let mut looks = interval(LOOK_EVERY);
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Event::ConnectionBlocked(why)) => {
                        tracing::warn!("the broker at `{}` takes no messages: {why}", self.settings.address());
                        self.state.send_replace(State::Blocked(Arc::clone(session), why));
                    }
                    Some(Event::ConnectionUnblocked) => {
                        tracing::info!("the broker at `{}` takes messages again", self.settings.address());
                        self.state.send_replace(State::Up(Arc::clone(session)));
                    }
                    Some(Event::Error(error)) => return cause(&error),
                    Some(_) => {}
                    None => return "the connection has ended".into(),
                },
                fault = faults.wait_for(Option::is_some) => match fault {
                    Ok(why) => return why.clone().unwrap_or_default(),
                    Err(_) => return "the connection was dropped".into(),
                },
                _ = looks.tick() => if !session.connection.status().connected() {
                    return "the connection has ended".into();
                }
            }
        }
    }

    /// Each cause once per outage: what fails again and again says so once.
    fn tell_down(&mut self, why: &str) {
        if self.told.insert(why.to_owned()) {
            tracing::warn!("no connection for {} to the broker at `{}`: {why}", self.role, self.settings.address());
        }
    }

    fn tell_up(&mut self) {
        if !std::mem::take(&mut self.told).is_empty() {
            tracing::info!("connected for {} to the broker at `{}` again", self.role, self.settings.address());
        }
    }
}
