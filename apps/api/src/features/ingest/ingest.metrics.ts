// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { Counter, Gauge, Histogram, Registry } from "prom-client";

/** What the ingest path counts about itself. Labels come from closed sets; hosts and tenants are never among them. */
@Injectable()
export class IngestMetrics {
  readonly frames: Counter<"result">;
  readonly refusals: Counter<"code">;
  readonly rows: Counter;
  readonly bytes: Counter;
  readonly insertSeconds: Histogram<"table">;
  readonly insertFailures: Counter<"kind">;
  readonly storageFailing: Gauge;
  readonly streams: Gauge;
  readonly streamEnds: Counter<"reason">;
  readonly enrolments: Counter<"result">;

  /** Asked when somebody reads the metrics: it changes with every frame. */
  inFlightBytes: () => number = () => 0;

  constructor(@Inject(Registry) registry: Registry) {
    const registers = [registry];
    this.frames = new Counter({
      registers,
      name: "waggle_ingest_frames_total",
      help: "Snapshots by outcome: stored, refused, or deferred (to be sent again once the storage works).",
      labelNames: ["result"],
    });
    this.refusals = new Counter({
      registers,
      name: "waggle_ingest_refusals_total",
      help: "Snapshots and messages refused, by reason code.",
      labelNames: ["code"],
    });
    this.rows = new Counter({
      registers,
      name: "waggle_ingest_rows_total",
      help: "Signal rows that ClickHouse accepted; a row sent twice counts twice here.",
    });
    this.bytes = new Counter({ registers, name: "waggle_ingest_bytes_total", help: "Bytes of inserts that ClickHouse accepted." });
    this.insertSeconds = new Histogram({
      registers,
      name: "waggle_ingest_insert_seconds",
      help: "Time of one insert that ClickHouse accepted, by table.",
      labelNames: ["table"],
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    });
    this.insertFailures = new Counter({
      registers,
      name: "waggle_ingest_insert_failures_total",
      help: "Inserts that failed: storage (kept and tried again) or data (the frame at fault is refused).",
      labelNames: ["kind"],
    });
    const readInFlightBytes = (): number => this.inFlightBytes();
    new Gauge({
      registers,
      name: "waggle_ingest_in_flight_bytes",
      help: "Bytes of snapshots accepted and not yet stored.",
      collect() {
        this.set(readInFlightBytes());
      },
    });
    this.storageFailing = new Gauge({
      registers,
      name: "waggle_ingest_storage_failing",
      help: "1 while the storage refuses inserts and frames are held.",
    });
    this.streams = new Gauge({ registers, name: "waggle_ingest_streams", help: "Open snapshot streams." });
    this.streamEnds = new Counter({
      registers,
      name: "waggle_ingest_stream_ends_total",
      help: "Streams that ended, by reason.",
      labelNames: ["reason"],
    });
    this.enrolments = new Counter({
      registers,
      name: "waggle_ingest_enrolments_total",
      help: "Enrolments by result: enrolled or refused.",
      labelNames: ["result"],
    });
  }
}
