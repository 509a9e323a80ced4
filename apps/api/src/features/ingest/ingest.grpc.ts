// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { type BeforeApplicationShutdown, Inject, Injectable, type OnApplicationBootstrap } from "@nestjs/common";
import { EnrolHostRequest, EnrolHostResponse, IngestServiceService } from "@waggle/proto";
import { AppError } from "../../common/app-error.ts";
import { Clock } from "../../common/clock.ts";
import { Log } from "../../common/log.ts";
import { Config } from "../../config/config.ts";
import type { GrpcCall } from "../../grpc/grpc-call.ts";
import { GrpcServer } from "../../grpc/grpc-server.ts";
import { GrpcError, GrpcStatus } from "../../grpc/grpc-status.ts";
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
import { HostStream, type StreamServices } from "./host-stream.ts";
import { IngestMetrics } from "./ingest.metrics.ts";

/**
 * The transport's own limit is above ours, so that a message a little too large is refused by us: with a reason and a count.
 * Beyond this the transport ends the stream with the same status.
 */
const TRANSPORT_BYTES_MAX = 2 * FRAME_BYTES_MAX;
/** Of the process's 5 s; the rest is for ending streams and closing stores. */
const FLUSH_TIMEOUT_MS = 3_000;
const SHUTDOWN_TIMEOUT_MS = 500;

/** The gRPC server that agents dial. */
@Injectable()
export class IngestServer implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private server: GrpcServer | undefined;
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
    const { host, port, tls } = this.config.grpc;
    this.server = new GrpcServer({
      tls: tls === null ? null : { certificate: readFileSync(tls.certificateFile), key: readFileSync(tls.keyFile) },
      messageBytesMax: TRANSPORT_BYTES_MAX,
      methods: new Map<string, (call: GrpcCall) => void>([
        [IngestServiceService.enrolHost.path, (call) => void this.enrolHost(call)],
        [IngestServiceService.streamSnapshots.path, (call) => void this.streamSnapshots(call)],
      ]),
      log: this.log,
    });
    this.boundPort = await this.server.listen(port, host);
    this.log.info({ grpc: `${host}:${this.boundPort}`, tls: tls !== null }, "listening");
  }

  /** Reads no more, writes what was taken and acknowledges it, then tells every agent to reconnect. */
  async beforeApplicationShutdown(): Promise<void> {
    this.isStopping = true;
    for (const stream of this.streams) stream.stopReading();
    await this.writer.stop(FLUSH_TIMEOUT_MS);
    for (const stream of [...this.streams]) stream.end(GrpcStatus.UNAVAILABLE, "the API stops; reconnect", "stopping");
    await Promise.all([this.statuses.stop(), this.claims.stop()]);
    await this.server?.close(SHUTDOWN_TIMEOUT_MS);
  }

  private async enrolHost(call: GrpcCall): Promise<void> {
    try {
      const request = decodeEnrolment(await onlyMessage(call));
      const response = await this.enrolment.enrol(bearerToken(call), request);
      this.metrics.enrolments.inc({ result: "enrolled" });
      this.log.info({ hostId: response.hostId, hostName: response.hostName, peer: call.peer }, "host enrolled");
      call.write(EnrolHostResponse.encode(response).finish());
      call.end(GrpcStatus.OK);
    } catch (error) {
      this.metrics.enrolments.inc({ result: "refused" });
      this.refuse(call, error);
    }
  }

  private async streamSnapshots(call: GrpcCall): Promise<void> {
    try {
      if (this.isStopping) throw new AppError("STORAGE_UNAVAILABLE", "the API stops; reconnect");
      const { organisationId, hostId } = await this.tokens.getHost(bearerToken(call));
      await Promise.all([this.limits.prepare(organisationId), this.settings.refresh()]);
      if (call.isOver) return;
      if (this.isStopping) throw new AppError("STORAGE_UNAVAILABLE", "the API stops; reconnect");
      const stream = new HostStream(
        call,
        { organisationId, hostId },
        this.services,
        (opened) => {
          this.current.get(hostId)?.end(GrpcStatus.ABORTED, "a newer stream of this host took over", "superseded");
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
      const code = this.refuse(call, error);
      this.metrics.streamEnds.inc({ reason: code === GrpcStatus.UNAUTHENTICATED ? "unauthenticated" : "error" });
    }
  }

  private endStreamsOf(hostId: string): void {
    for (const stream of [...this.streams]) {
      if (stream.sender.hostId === hostId)
        stream.end(GrpcStatus.UNAUTHENTICATED, "this host was enrolled again; this credential is not valid any more", "unauthenticated");
    }
  }

  /** Ends a call that could not be answered, saying why as far as that concerns the caller. */
  private refuse(call: GrpcCall, error: unknown): GrpcStatus {
    const { peer } = call;
    const [code, details] = this.explain(error, peer);
    call.end(code, details);
    return code;
  }

  private explain(error: unknown, peer: string): [code: GrpcStatus, details: string] {
    if (error instanceof GrpcError) return [error.code, error.message];
    if (error instanceof AppError) {
      if (error.code === "UNAUTHENTICATED") this.log.warn({ peer }, "credential refused");
      return [error.kind.grpcStatus, error.message];
    }
    this.log.error({ err: error, peer }, "request failed");
    // The control plane is probably away; agents keep everything and come back.
    return [GrpcStatus.UNAVAILABLE, "the API cannot answer now; try again"];
  }
}

/** The message of a call that has one. Rejects with GrpcError if it has not. */
function onlyMessage(call: GrpcCall): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let message: Buffer | undefined;
    let isTooMany = false;
    call.listen({
      onMessage: (bytes) => {
        isTooMany = message !== undefined;
        message = Buffer.from(bytes);
      },
      onHalfClose: () => {
        if (message === undefined || isTooMany) reject(new GrpcError(GrpcStatus.INVALID_ARGUMENT, "the call has one message; send exactly one"));
        else resolve(message);
      },
      onGone: (reason) => reject(new GrpcError(GrpcStatus.CANCELLED, `the call was ${reason}`)),
    });
  });
}

function decodeEnrolment(bytes: Buffer): EnrolHostRequest {
  try {
    return EnrolHostRequest.decode(bytes);
  } catch (error) {
    throw new AppError("VALIDATION_FAILED", `the message is no waggle.ingest.v1.EnrolHostRequest: ${(error as Error).message}`);
  }
}

function bearerToken({ headers }: GrpcCall): string {
  const token = /^Bearer (\S+)$/i.exec(headers.authorization ?? "")?.[1];
  if (token === undefined) throw new AppError("UNAUTHENTICATED", "send the metadata `authorization: Bearer wgl_…`");
  return token;
}
