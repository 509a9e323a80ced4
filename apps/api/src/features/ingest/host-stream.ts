// SPDX-License-Identifier: Apache-2.0
import { type Hello, RefusalCode, type SignalRefusal, type Status, StreamSnapshotsResponse } from "@waggle/proto";
import { writeVarint } from "@waggle/signals";
import type { Clock } from "../../common/clock.ts";
import type { Log } from "../../common/log.ts";
import type { CallListener, GoneReason, GrpcCall } from "../../grpc/grpc-call.ts";
import { GrpcStatus } from "../../grpc/grpc-status.ts";
import { apiVersion } from "../../version.ts";
import type { SettingsWatch } from "../host-settings/settings-watch.service.ts";
import type { ClaimsService } from "../ledger/claims.service.ts";
import type { LimitsService } from "../limits/limits.service.ts";
import type { DiskGuard } from "../storage/disk-guard.service.ts";
import type { RawFloor } from "../storage/raw-floor.service.ts";
import { factsProblem } from "../tokens/enrolment.service.ts";
import type { WatchLeases } from "../watch/watch-leases.service.ts";
import { checkSnapshot, FRAME_BYTES_MAX, refusalName, refusalOf, refusedSignals, type Sender, WINDOW_MS_MAX } from "./frame.ts";
import type { FrameSlabs } from "./frame-slabs.ts";
import type { FrameWriter } from "./frame-writer.service.ts";
import type { HostStatusService } from "./host-status.service.ts";
import type { IngestMetrics } from "./ingest.metrics.ts";
import { type AgentMessage, readAgentMessage, type WireSnapshot } from "./snapshot-reader.ts";

/** Of one stream; beyond it the stream is not read from until answers have gone out. */
export const FRAMES_IN_FLIGHT_MAX = 64;
/** Of these, frames older than the newest: so that what is measured now never waits behind what was missed. */
export const BACKLOG_IN_FLIGHT_MAX = 16;
const WINDOW_MS_DEFAULT = 10_000;
/** An agent says Hello at once; a stream that does not is nobody's and would stay for good. */
export const HELLO_TIMEOUT_MS = 15_000;
/** Answers that wait for an agent that does not read them. */
const UNREAD_BYTES_MAX = 128 * 1_024;
/** A window that ended this long ago or less is the present: it goes first. */
export const LIVE_MS = 60_000;
/** When snapshots cannot be taken, agents come back after this, spread so that they do not come at once. */
const THROTTLE_MS_MIN = 3_000;
const THROTTLE_MS_MAX = 8_000;

export interface StreamServices {
  readonly writer: FrameWriter;
  readonly slabs: FrameSlabs;
  readonly statuses: HostStatusService;
  readonly limits: LimitsService;
  readonly settings: SettingsWatch;
  readonly watches: WatchLeases;
  readonly claims: ClaimsService;
  readonly diskGuard: DiskGuard;
  readonly rawFloor: RawFloor;
  readonly metrics: IngestMetrics;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * One agent's stream, from its credential on: Hello → Config, then an Ack or a Refusal for every Snapshot.
 * Messages arrive as bytes, so that one that is no protobuf is told to the sender and counted, instead of ending in the transport.
 */
export class HostStream implements CallListener {
  private framesInFlight = 0;
  /** undefined before the Hello. */
  private agreed: { readonly windowMs: number; readonly refusedSignals: SignalRefusal[] } | undefined;
  private isEnded = false;
  private isHalfClosed = false;
  private isBusy = false;
  private readonly leave: () => void;
  /** Only while the stream is not read from: the writer does not have to tell ten thousand that nothing concerns. */
  private unsubscribe: (() => void) | undefined;
  private readonly helloTimer: NodeJS.Timeout;

  constructor(
    private readonly call: GrpcCall,
    readonly sender: Sender,
    private readonly services: StreamServices,
    private readonly onHello: (stream: HostStream) => void,
    private readonly onEnd: (stream: HostStream) => void,
  ) {
    this.leave = services.writer.join(sender.organisationId);
    this.helloTimer = setTimeout(
      () => this.end(GrpcStatus.FAILED_PRECONDITION, `no Hello within ${HELLO_TIMEOUT_MS / 1_000} s`, "no_hello"),
      HELLO_TIMEOUT_MS,
    );
    call.listen(this);
  }

  onMessage(bytes: Buffer): void {
    this.receive(bytes);
  }

  onHalfClose(): void {
    this.isHalfClosed = true;
    this.endIfDone();
  }

  onGone(reason: GoneReason): void {
    if (reason === "malformed" || reason === "too_large") this.services.metrics.refusals.inc({ code: reason });
    this.finish(reason);
  }

  /** Ends the stream with a status that tells the agent what to do. */
  end(code: GrpcStatus, details: string, reason: string): void {
    if (this.isEnded) return;
    this.finish(reason);
    this.call.end(code, details);
  }

  /** Takes no more messages; answers to what was taken still go out. */
  stopReading(): void {
    this.isBusy = true;
    this.call.pause();
  }

  private receive(bytes: Buffer): void {
    if (this.isEnded) return;
    if (bytes.length > FRAME_BYTES_MAX) {
      this.services.metrics.refusals.inc({ code: "too_large" });
      this.end(GrpcStatus.RESOURCE_EXHAUSTED, `the message has ${bytes.length} bytes, allowed are ${FRAME_BYTES_MAX}`, "too_large");
      return;
    }
    let message: AgentMessage | undefined;
    try {
      message = readAgentMessage(bytes);
    } catch (error) {
      this.services.metrics.refusals.inc({ code: "malformed" });
      this.end(GrpcStatus.INVALID_ARGUMENT, `the message is no waggle.ingest.v1.StreamSnapshotsRequest: ${(error as Error).message}`, "malformed");
      return;
    }
    switch (message?.$case) {
      case "hello":
        this.receiveHello(message.value);
        return;
      case "snapshot":
        if (this.requireHello()) this.receiveSnapshot(message.value);
        return;
      case "status":
        if (this.requireHello()) this.receiveStatus(message.value);
        return;
      default:
        this.services.metrics.refusals.inc({ code: "malformed" });
        this.end(GrpcStatus.INVALID_ARGUMENT, "the message holds none of hello, snapshot, status", "malformed");
    }
  }

  private requireHello(): boolean {
    if (this.agreed !== undefined) return true;
    this.end(GrpcStatus.FAILED_PRECONDITION, "the first message of a stream is a Hello", "no_hello");
    return false;
  }

  private receiveHello(hello: Hello): void {
    const problem = this.agreed !== undefined ? "a stream has one Hello" : helloProblem(hello);
    if (problem !== undefined) {
      this.services.metrics.refusals.inc({ code: "malformed" });
      this.end(GrpcStatus.INVALID_ARGUMENT, problem, "malformed");
      return;
    }
    clearTimeout(this.helloTimer);
    const windowMs = hello.windowMs >= 1_000 && hello.windowMs <= WINDOW_MS_MAX ? hello.windowMs : WINDOW_MS_DEFAULT;
    this.agreed = { windowMs, refusedSignals: refusedSignals(hello) };
    this.onHello(this);
    this.sendConfig();
    this.services.statuses.noteHello(this.sender.hostId, hello, this.windowMs());
  }

  /** The length its windows shall have now: short while somebody looks at it live, else as set, else the agent's own; longer while the storage lacks room. */
  private windowMs(): number {
    const { settings, watches, diskGuard } = this.services;
    const wanted = watches.windowMsOf(this.sender.hostId) ?? settings.settingsOf(this.sender).windowMs ?? this.agreed?.windowMs ?? WINDOW_MS_DEFAULT;
    return Math.max(wanted, diskGuard.windowMsWanted() ?? 0);
  }

  /** Tells the agent what holds now; first in answer to its Hello. */
  sendConfig(): void {
    if (this.agreed === undefined) return;
    const { settings, limits } = this.services;
    const set = settings.settingsOf(this.sender);
    const rowsCaps = [limits.rowsMax(this.sender.organisationId), set.rowsMax ?? 0].filter((rowsMax) => rowsMax > 0);
    this.send({
      $case: "config",
      value: {
        serverTimeMs: BigInt(this.services.clock.now()),
        windowMs: this.windowMs(),
        frameBytesMax: FRAME_BYTES_MAX,
        framesInFlightMax: FRAMES_IN_FLIGHT_MAX,
        refusedSignals: this.agreed.refusedSignals,
        rowsMax: rowsCaps.length === 0 ? 0 : Math.min(...rowsCaps),
        backlogInFlightMax: BACKLOG_IN_FLIGHT_MAX,
        settings: {
          revision: BigInt(set.revision),
          windowMs: set.windowMs ?? undefined,
          signalsOff: [...(set.signalsOff ?? [])],
          watchedProcesses: [...(set.watchedProcesses ?? [])],
          cpuBudgetCores: set.cpuBudgetCores ?? undefined,
          rowsMax: set.rowsMax ?? undefined,
        },
        apiVersion,
      },
    });
  }

  /** The snapshot's memory is the transport's again when this returns. */
  private receiveSnapshot(snapshot: WireSnapshot): void {
    const { writer, slabs, limits, clock, statuses, metrics, rawFloor } = this.services;
    const check = checkSnapshot(snapshot, this.sender, clock.now(), rawFloor);
    if ("refusal" in check) {
      metrics.frames.inc({ result: "refused" });
      this.refuse(check.refusal.code, snapshot.sequence, check.refusal.reason);
      return;
    }
    const { tsMs, windowMs, sequence, rows, memory } = check.frame;
    const endMs = tsMs + windowMs;
    const isLive = endMs >= clock.now() - LIVE_MS;
    const deferral = writer.deferral(this.sender.organisationId, isLive);
    if (deferral !== undefined) {
      const waitMs = Math.round(THROTTLE_MS_MIN + Math.random() * (THROTTLE_MS_MAX - THROTTLE_MS_MIN));
      this.defer(RefusalCode.STORAGE_UNAVAILABLE, sequence, deferral.reason, deferral.includesLive ? waitMs : 0, waitMs);
      return;
    }
    const excess = limits.admitFrame(this.sender.organisationId, this.sender.hostId, rows, endMs);
    if (excess !== undefined) {
      this.defer(RefusalCode.LIMIT_EXCEEDED, sequence, excess.reason, excess.waitMs, excess.waitMs);
      return;
    }
    this.framesInFlight++;
    const held = slabs.hold(memory, isLive);
    writer.add({ ...check.frame, memory: held.bytes }, isLive, (outcome) => {
      held.release();
      this.framesInFlight--;
      if (outcome.result === "stored") {
        statuses.noteWindow(this.sender.hostId, endMs);
        this.acknowledge(sequence);
      } else this.refuse(RefusalCode.MALFORMED, sequence, outcome.reason);
      this.readOrPause();
      this.endIfDone();
    });
    this.readOrPause();
  }

  /** The snapshot is good and comes too early or too often: it is to be sent again, and the agent is told why and when. */
  private defer(code: RefusalCode, sequence: bigint, reason: string, waitMs: number, backlogWaitMs: number): void {
    this.services.metrics.frames.inc({ result: "deferred" });
    this.send({ $case: "throttle", value: { waitMs, backlogWaitMs, reason } });
    this.refuse(code, sequence, reason);
  }

  private receiveStatus(value: Status): void {
    this.services.statuses.noteStatus(this.sender.hostId, value, this.windowMs());
    this.services.claims.note(this.sender, value.hours);
  }

  private refuse(code: RefusalCode, sequence: bigint, reason: string): void {
    const name = refusalName(code);
    this.services.metrics.refusals.inc({ code: name });
    // What comes again is no event of its own: there may be thousands, and the metrics count them.
    const isFinal = code !== RefusalCode.STORAGE_UNAVAILABLE && code !== RefusalCode.LIMIT_EXCEEDED;
    this.services.log[isFinal ? "info" : "debug"]({ hostId: this.sender.hostId, sequence: String(sequence), code: name, reason }, "snapshot refused");
    this.send({ $case: "refusal", value: refusalOf(sequence, code, reason, this.services.clock.now()) });
  }

  private send(message: NonNullable<StreamSnapshotsResponse["message"]>): void {
    this.write(StreamSnapshotsResponse.encode({ message }).finish());
  }

  private acknowledge(sequence: bigint): void {
    this.write(encodeAck(sequence));
  }

  private write(message: Uint8Array): void {
    if (this.isEnded) return;
    if (this.call.unreadBytes >= UNREAD_BYTES_MAX) {
      this.end(GrpcStatus.RESOURCE_EXHAUSTED, `${UNREAD_BYTES_MAX} bytes of answers were not read`, "answers_unread");
      return;
    }
    this.call.write(message);
  }

  /** While the storage fails and everything is full, reading goes on: each snapshot is then refused with `retry`, not left hanging. */
  private readOrPause(): void {
    if (this.isEnded || this.isBusy) return;
    const { writer } = this.services;
    const mustWait = this.framesInFlight >= FRAMES_IN_FLIGHT_MAX || writer.mustPause(this.sender.organisationId);
    if (mustWait && !this.call.isPaused) {
      this.call.pause();
      this.unsubscribe ??= writer.onChange(() => this.readOrPause());
    }
    if (!mustWait && this.call.isPaused) {
      this.unsubscribe?.();
      this.unsubscribe = undefined;
      this.call.resume();
    }
  }

  private endIfDone(): void {
    if (!this.isHalfClosed || this.framesInFlight > 0 || this.isEnded) return;
    this.finish("done");
    this.call.end(GrpcStatus.OK);
  }

  private finish(reason: string): void {
    if (this.isEnded) return;
    this.isEnded = true;
    clearTimeout(this.helloTimer);
    this.unsubscribe?.();
    this.leave();
    this.services.metrics.streamEnds.inc({ reason });
    this.onEnd(this);
  }
}

/** StreamSnapshotsResponse { ack = 2: Ack { sequence = 1 } }: one for every frame, of which the generated encoder would make several objects. */
export function encodeAck(sequence: bigint): Uint8Array {
  if (sequence > BigInt(Number.MAX_SAFE_INTEGER)) return StreamSnapshotsResponse.encode({ message: { $case: "ack", value: { sequence } } }).finish();
  const out = Buffer.allocUnsafe(3 + 8);
  const end = writeVarint(out, 3, Number(sequence));
  out[0] = 0x12;
  out[1] = end - 2;
  out[2] = 0x08;
  return out.subarray(0, end);
}

function helloProblem(hello: Hello): string | undefined {
  if (hello.bootId.length < 1 || hello.bootId.length > 64) return "hello.boot_id must have 1 to 64 characters";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: Postgres refuses NUL in text
  if (/[\u0000-\u001f\u007f]/.test(hello.bootId)) return "hello.boot_id must not hold control characters";
  if (hello.signals.length > 1_000) return "hello.signals has more than 1,000 entries";
  if (hello.hostTimeMs > 253_402_300_800_000n) return "hello.host_time_ms lies beyond the year 9999";
  return hello.facts === undefined ? "hello.facts are missing" : factsProblem(hello.facts);
}
