// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { type Metadata, Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData, status } from "@grpc/grpc-js";
import { type BeforeApplicationShutdown, Inject, Injectable, type OnApplicationBootstrap } from "@nestjs/common";
import { EnrolHostRequest, type EnrolHostResponse, IngestServiceService } from "@waggle/proto";
import { AppError } from "../../common/app-error.ts";
import { Clock } from "../../common/clock.ts";
import { Log } from "../../common/log.ts";
import { Config } from "../../config/config.ts";
import { SettingsWatch } from "../host-settings/settings-watch.service.ts";
import { ClaimsService } from "../ledger/claims.service.ts";
import { LimitsService } from "../limits/limits.service.ts";
import { DiskGuard } from "../storage/disk-guard.service.ts";
import { RawFloor } from "../storage/raw-floor.service.ts";
import { EnrolmentService } from "../tokens/enrolment.service.ts";
import { TokensService } from "../tokens/tokens.service.ts";
import { WatchLeases } from "../watch/watch-leases.service.ts";
import { FRAME_BYTES_MAX } from "./frame.ts";
import { FrameSlabs } from "./frame-slabs.ts";
import { FrameWriter } from "./frame-writer.service.ts";
import { HostStatusService } from "./host-status.service.ts";
import { HostStream, type SnapshotCall, type StreamServices } from "./host-stream.ts";
import { IngestMetrics } from "./ingest.metrics.ts";

/**
 * The transport's own limit is above ours, so that a message a little too large is refused by us: with a reason and a count.
 * Beyond this the transport ends the stream with the same status.
 */
const TRANSPORT_BYTES_MAX = 2 * FRAME_BYTES_MAX;
/** Of the process's 5 s; the rest is for ending streams and closing stores. */
const FLUSH_TIMEOUT_MS = 3_000;
const SHUTDOWN_TIMEOUT_MS = 500;

/** The generated service, except that requests reach the handlers as bytes: decoding errors are ours to answer. */
const service = {
  enrolHost: { ...IngestServiceService.enrolHost, requestDeserialize: (bytes: Buffer) => bytes },
  streamSnapshots: { ...IngestServiceService.streamSnapshots, requestDeserialize: (bytes: Buffer) => bytes },
};

/** The gRPC server that agents dial. */
@Injectable()
export class IngestServer implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly server = new Server({
    "grpc.max_receive_message_length": TRANSPORT_BYTES_MAX,
    // A record of every connection and call that nobody reads, times ten thousand.
    "grpc.enable_channelz": 0,
    // A host that vanished without a word is noticed after 40 s.
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
  });
  private readonly services: StreamServices;
  private readonly streams = new Set<HostStream>();
  /** The stream that speaks for a host: the newest that said Hello. */
  private readonly current = new Map<string, HostStream>();
  private isStopping = false;
  private boundPort = 0;

  constructor(
    @Inject(Config) private readonly config: Config,
    @Inject(Log) private readonly log: Log,
    @Inject(TokensService) private readonly tokens: TokensService,
    @Inject(EnrolmentService) private readonly enrolment: EnrolmentService,
    @Inject(IngestMetrics) private readonly metrics: IngestMetrics,
    @Inject(FrameWriter) private readonly writer: FrameWriter,
    @Inject(HostStatusService) private readonly statuses: HostStatusService,
    @Inject(LimitsService) private readonly limits: LimitsService,
    @Inject(SettingsWatch) private readonly settings: SettingsWatch,
    @Inject(WatchLeases) watches: WatchLeases,
    @Inject(ClaimsService) private readonly claims: ClaimsService,
    @Inject(DiskGuard) diskGuard: DiskGuard,
    @Inject(RawFloor) rawFloor: RawFloor,
    @Inject(Clock) clock: Clock,
  ) {
    this.services = { writer, slabs: new FrameSlabs(), statuses, limits, settings, watches, claims, diskGuard, rawFloor, metrics, clock, log };
    diskGuard.onWindowMsWanted(() => {
      for (const stream of this.streams) stream.sendConfig();
    });
    limits.onRowsMax((organisationId) => {
      for (const stream of this.streams) if (stream.sender.organisationId === organisationId) stream.sendConfig();
    });
    settings.onChange(({ organisationId, hostId }) => {
      if (hostId !== null) this.current.get(hostId)?.sendConfig();
      else for (const stream of this.streams) if (stream.sender.organisationId === organisationId) stream.sendConfig();
    });
    watches.onChange((hostId) => this.current.get(hostId)?.sendConfig());
    enrolment.onCredentialRevoked((hostId) => this.endStreamsOf(hostId));
  }

  /** The port agents reach it on; of use when the settings said 0. */
  get port(): number {
    return this.boundPort;
  }

  async onApplicationBootstrap(): Promise<void> {
    this.server.addService(service, {
      enrolHost: (call: ServerUnaryCall<Buffer, EnrolHostResponse>, respond: sendUnaryData<EnrolHostResponse>) => void this.enrolHost(call, respond),
      streamSnapshots: (call: SnapshotCall) => void this.streamSnapshots(call),
    });
    const { host, port, tls } = this.config.grpc;
    const address = `${host.includes(":") ? `[${host}]` : host}:${port}`;
    const credentials =
      tls === null
        ? ServerCredentials.createInsecure()
        : ServerCredentials.createSsl(null, [{ cert_chain: readFileSync(tls.certificateFile), private_key: readFileSync(tls.keyFile) }]);
    this.boundPort = await new Promise<number>((resolve, reject) => {
      this.server.bindAsync(address, credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)));
    });
    this.log.info({ grpc: `${host}:${this.boundPort}`, tls: tls !== null }, "listening");
  }

  /** Reads no more, writes what was taken and acknowledges it, then tells every agent to reconnect. */
  async beforeApplicationShutdown(): Promise<void> {
    this.isStopping = true;
    for (const stream of this.streams) stream.stopReading();
    await this.writer.stop(FLUSH_TIMEOUT_MS);
    for (const stream of [...this.streams]) stream.end(status.UNAVAILABLE, "the API stops; reconnect", "stopping");
    await Promise.all([this.statuses.stop(), this.claims.stop()]);
    await new Promise<void>((resolve) => {
      const force = setTimeout(() => this.server.forceShutdown(), SHUTDOWN_TIMEOUT_MS);
      this.server.tryShutdown(() => {
        clearTimeout(force);
        resolve();
      });
    });
  }

  private async enrolHost(call: ServerUnaryCall<Buffer, EnrolHostResponse>, respond: sendUnaryData<EnrolHostResponse>): Promise<void> {
    try {
      const request = decodeEnrolment(call.request);
      const response = await this.enrolment.enrol(bearerToken(call.metadata), request);
      this.metrics.enrolments.inc({ result: "enrolled" });
      this.log.info({ hostId: response.hostId, hostName: response.hostName, peer: call.getPeer() }, "host enrolled");
      respond(null, response);
    } catch (error) {
      this.metrics.enrolments.inc({ result: "refused" });
      respond(this.toStatus(error, call.getPeer()));
    }
  }

  private async streamSnapshots(call: SnapshotCall): Promise<void> {
    // Until there is a stream object to handle them: an error event without a listener would end the process.
    let isGone = false;
    const onGone = () => {
      isGone = true;
    };
    call.on("error", onGone);
    call.on("cancelled", onGone);
    try {
      if (this.isStopping) throw new AppError("STORAGE_UNAVAILABLE", "the API stops; reconnect");
      const { organisationId, hostId } = await this.tokens.getHost(bearerToken(call.metadata));
      await Promise.all([this.limits.prepare(organisationId), this.settings.refresh()]);
      if (isGone) return;
      if (this.isStopping) throw new AppError("STORAGE_UNAVAILABLE", "the API stops; reconnect");
      const stream = new HostStream(
        call,
        { organisationId, hostId },
        this.services,
        (opened) => {
          this.current.get(hostId)?.end(status.ABORTED, "a newer stream of this host took over", "superseded");
          this.current.set(hostId, opened);
        },
        (ended) => {
          this.streams.delete(ended);
          if (this.current.get(hostId) === ended) this.current.delete(hostId);
          this.metrics.streams.set(this.streams.size);
        },
      );
      this.streams.add(stream);
      this.metrics.streams.set(this.streams.size);
    } catch (error) {
      const refusal = this.toStatus(error, call.getPeer());
      this.metrics.streamEnds.inc({ reason: refusal.code === status.UNAUTHENTICATED ? "unauthenticated" : "error" });
      call.emit("error", refusal);
    }
  }

  private endStreamsOf(hostId: string): void {
    for (const stream of [...this.streams]) {
      if (stream.sender.hostId === hostId)
        stream.end(status.UNAUTHENTICATED, "this host was enrolled again; this credential is not valid any more", "unauthenticated");
    }
  }

  private toStatus(error: unknown, peer: string) {
    if (error instanceof AppError) {
      if (error.code === "UNAUTHENTICATED") this.log.warn({ peer }, "credential refused");
      return Object.assign(new Error(error.message), { code: error.kind.grpcStatus, details: error.message });
    }
    this.log.error({ err: error, peer }, "request failed");
    // The control plane is probably away; agents keep everything and come back.
    return Object.assign(new Error("unavailable"), { code: status.UNAVAILABLE, details: "the API cannot answer now; try again" });
  }
}

function decodeEnrolment(bytes: Buffer): EnrolHostRequest {
  try {
    return EnrolHostRequest.decode(bytes);
  } catch (error) {
    throw new AppError("VALIDATION_FAILED", `the message is no waggle.ingest.v1.EnrolHostRequest: ${(error as Error).message}`);
  }
}

function bearerToken(metadata: Metadata): string {
  const [value] = metadata.get("authorization");
  const token = typeof value === "string" ? /^Bearer (\S+)$/i.exec(value)?.[1] : undefined;
  if (token === undefined) throw new AppError("UNAUTHENTICATED", "send the metadata `authorization: Bearer wgl_…`");
  return token;
}
