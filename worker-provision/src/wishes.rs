//! What somebody asks of a server that is ready: stop, start, reboot, another size.
//!
//! Invariants: what is asked of the cloud may be asked twice, since each but the reboot says how the machine is to be; a
//! wish is taken back in the end, fulfilled or with its reason; the status says what the cloud shows. Absent: who may wish.

use std::time::Duration;

use shared::{
    crash::around,
    domain::status::{MachineState, ServerStatus as Status},
    failure::Failure,
    names,
    providers::cloud::{Class, Cloud, CloudError, Machine as Seen, Power, State},
    store::{
        machines::{self, Change, Machine},
        servers::{self, Server, Wish},
    },
};

use crate::{prepare::Contact, rent::Pace, run::Attempt, source::Rented, source::Source, steps};

/// How far a wish is.
enum Progress {
    Done,
    Wait,
}

impl Attempt<'_> {
    /// Goes on with the wish; its end is told in the server's row, also when it was refused.
    pub async fn fulfil(&self, server: Server, wish: &Wish) -> Result<(), Failure> {
        let Source::Rented(rented) = &self.source else {
            return self.end_wish(&server, wish, Some(("not_rented", "only rented machines can be switched"))).await;
        };
        let late = self.waited(&server) > rented.pace.wish;
        match around("wish", self.go_on(rented, &server, wish)).await {
            Ok(Progress::Done) => self.end_wish(&server, wish, None).await,
            Ok(Progress::Wait) | Err(Failure::Later(_)) if late => {
                self.give_wish_up(rented, &server, wish, ("wish_timeout", "the cloud did not do it in time")).await
            }
            Ok(Progress::Wait) => Err(Failure::Later(rented.pace.poll)),
            Err(Failure::Permanent { code, message }) => {
                self.give_wish_up(rented, &server, wish, (code, &message)).await
            }
            Err(e) => Err(e),
        }
    }

    /// The end of a wish that will not come true, once the cloud is done with whatever it does: until then nobody can say
    /// what the machine is.
    async fn give_wish_up(
        &self,
        rented: &Rented,
        server: &Server,
        wish: &Wish,
        error: (&str, &str),
    ) -> Result<(), Failure> {
        let patient = self.waited(server) <= rented.pace.wish * 2;
        match self.as_shown(rented, server, wish, error).await {
            Ok(Progress::Wait) | Err(Failure::Later(_)) if patient => Err(Failure::Later(rented.pace.poll)),
            Err(e @ (Failure::Stopped | Failure::Transient { .. })) => Err(e),
            _ => self.end_wish(server, wish, Some(error)).await,
        }
    }

    /// Makes the status what the cloud shows. A machine that was only to be off meanwhile is started again.
    async fn as_shown(
        &self,
        rented: &Rented,
        server: &Server,
        wish: &Wish,
        error: (&str, &str),
    ) -> Result<Progress, Failure> {
        let seen = self.seen(rented, server).await?;
        match (server.status, seen.state) {
            _ if seen.busy => Ok(Progress::Wait),
            (Status::Ready, State::Running) | (Status::Stopped, State::Stopped) => Ok(Progress::Done),
            (Status::Ready, State::Stopped) if matches!(wish, Wish::Resize(_) | Wish::Reboot) => {
                self.log.write(&format!("not done: {}: {}", wish.as_str(), error.1)).await;
                servers::turn_wish(&self.worker.db, self.fence, server.id, (wish, &Wish::Start), error).await?;
                Err(Failure::Later(rented.pace.poll))
            }
            (Status::Ready, State::Stopped) => {
                self.be(server, Status::Stopped).await?;
                Ok(Progress::Done)
            }
            (Status::Stopped, State::Running) => self.start(rented, server, &seen).await,
            _ => Ok(Progress::Wait),
        }
    }

    /// Since the wish was written down.
    fn waited(&self, server: &Server) -> Duration {
        Duration::from_millis(u64::try_from(self.worker.db.now_ms() - server.updated_at).unwrap_or(0))
    }

    async fn end_wish(&self, server: &Server, wish: &Wish, error: Option<(&str, &str)>) -> Result<(), Failure> {
        let words = error
            .map_or_else(|| format!("done: {}", wish.as_str()), |e| format!("not done: {}: {}", wish.as_str(), e.1));
        self.log.write(&words).await;
        let db = &self.worker.db;
        self.keep_cost(server).await?;
        servers::forget_wish(db, self.fence, server.id, wish, error).await?;
        // It may have another address now, or none.
        let now = servers::load(db, self.fence, server.id).await?.ok_or(Failure::Stopped)?;
        Ok(names::ask_for_server(db, now.client, now.id, now.address.as_deref()).await?)
    }

    /// A size that was asked for and not had is not counted on.
    async fn keep_cost(&self, server: &Server) -> Result<(), Failure> {
        let Source::Rented(rented) = &self.source else { return Ok(()) };
        let db = &self.worker.db;
        let machines = machines::of_server(db, server.id).await?;
        let monthly = standing(&machines).and_then(|m| rented.monthly(&m.region, &m.size));
        if let Some(monthly) = monthly.filter(|m| server.monthly.as_ref() != Some(m)) {
            servers::set_monthly(db, self.fence, server.id, &monthly).await?;
        }
        Ok(())
    }

    /// The server's machine as the cloud shows it; its size, and so its price, is known from then on.
    async fn seen(&self, rented: &Rented, server: &Server) -> Result<Seen, Failure> {
        let gone = || Failure::permanent("machine_gone", "the cloud does not show the server's machine");
        let machines = machines::of_server(&self.worker.db, server.id).await?;
        let machine = standing(&machines).ok_or_else(gone)?;
        let id = machine.remote_id.as_deref().unwrap_or_default();
        let seen =
            rented.in_use.cloud.get(&machine.region, id).await.map_err(|e| wait(&rented.pace, &e))?.ok_or_else(gone)?;
        let change = Change { db: &self.worker.db, fence: self.fence, id: machine.id };
        if !seen.busy && seen.size != machine.size && !seen.size.is_empty() {
            // Whoever asked for that may have died of it.
            change.resized(&seen.size).await?;
        }
        if let Some(rate) = rented.rate(&seen).filter(|_| !seen.busy) {
            change.priced(&rate).await?;
        }
        Ok(seen)
    }

    async fn go_on(&self, rented: &Rented, server: &Server, wish: &Wish) -> Result<Progress, Failure> {
        let seen = self.seen(rented, server).await?;
        if seen.busy {
            return Ok(Progress::Wait);
        }
        match wish {
            Wish::Stop => self.stop(rented, server, &seen).await,
            Wish::Start => self.start(rented, server, &seen).await,
            Wish::Reboot => {
                switch(rented, &seen, Power::Reboot).await?;
                Ok(Progress::Done)
            }
            Wish::Resize(size) => self.resize(rented, server, &seen, size).await,
        }
    }

    async fn stop(&self, rented: &Rented, server: &Server, seen: &Seen) -> Result<Progress, Failure> {
        let patient = self.waited(server) <= rented.pace.grace;
        match seen.state {
            State::Stopped => {
                self.be(server, Status::Stopped).await?;
                Ok(Progress::Done)
            }
            State::Running | State::Stopping if !patient => switch(rented, seen, Power::Off).await,
            State::Running => switch(rented, seen, Power::Stop).await,
            _ => Ok(Progress::Wait),
        }
    }

    /// It may come back with another address.
    async fn start(&self, rented: &Rented, server: &Server, seen: &Seen) -> Result<Progress, Failure> {
        let address = seen.ipv4.map(|a| a.to_string()).or_else(|| seen.ipv6.map(|a| a.to_string()));
        match (seen.state, address) {
            (State::Running, Some(address)) => {
                servers::set_address(&self.worker.db, self.fence, server.id, &address, server.ssh_port).await?;
                self.answers(rented, server).await?;
                self.be(server, Status::Ready).await?;
                Ok(Progress::Done)
            }
            (State::Stopped, _) => switch(rented, seen, Power::Start).await,
            _ => Ok(Progress::Wait),
        }
    }

    /// Only who answers with the pinned host key is the server.
    async fn answers(&self, rented: &Rented, server: &Server) -> Result<(), Failure> {
        let server = servers::load(&self.worker.db, self.fence, server.id).await?.ok_or(Failure::Stopped)?;
        match self.worker.preparer.contact(&self.worker.settings, &server).await? {
            Contact::Made(visit) => {
                visit.close().await;
                Ok(())
            }
            _ => Err(Failure::Later(rented.pace.poll)),
        }
    }

    /// Off, changed, and as it was before.
    async fn resize(&self, rented: &Rented, server: &Server, seen: &Seen, size: &str) -> Result<Progress, Failure> {
        if seen.size == size {
            self.keep_size(server, size).await?;
            return match server.status {
                Status::Stopped => Ok(Progress::Done),
                _ => self.start(rented, server, seen).await,
            };
        }
        if rented.in_use.cloud.traits().resize_needs_off && seen.state != State::Stopped {
            let power = if self.waited(server) > rented.pace.grace { Power::Off } else { Power::Stop };
            return if seen.state == State::Running { switch(rented, seen, power).await } else { Ok(Progress::Wait) };
        }
        rented.in_use.cloud.resize(&seen.region, &seen.id, size).await.map_err(|e| wait(&rented.pace, &e))?;
        Ok(Progress::Wait)
    }

    /// What would be rented if the machine had to be made anew.
    async fn keep_size(&self, server: &Server, size: &str) -> Result<(), Failure> {
        let mut spec = steps::spec(server)?;
        if spec.size.as_deref() == Some(size) {
            return Ok(());
        }
        spec.size = Some(size.to_owned());
        spec.fallback_sizes.retain(|other| other != size);
        let text = serde_json::to_string(&spec)
            .map_err(|_| Failure::permanent("spec_invalid", "the server's spec cannot be kept"))?;
        let kept = servers::set_spec(&self.worker.db, self.fence, server.id, &text).await?;
        if kept { Ok(()) } else { Err(Failure::Stopped) }
    }

    async fn be(&self, server: &Server, status: Status) -> Result<(), Failure> {
        if server.status == status { Ok(()) } else { self.advance(server.id, status).await }
    }
}

fn standing(machines: &[Machine]) -> Option<&Machine> {
    machines.iter().rev().find(|m| m.state == MachineState::Present)
}

async fn switch(rented: &Rented, seen: &Seen, power: Power) -> Result<Progress, Failure> {
    rented.in_use.cloud.power(&seen.region, &seen.id, power).await.map_err(|e| wait(&rented.pace, &e))?;
    Ok(Progress::Wait)
}

/// What passes is waited for; what is refused ends the wish.
fn wait(pace: &Pace, e: &CloudError) -> Failure {
    match e.class {
        Class::Later | Class::Conflict => Failure::Later(e.after.unwrap_or(pace.poll)),
        _ => Failure::permanent("provider_refused", e.to_string()),
    }
}
