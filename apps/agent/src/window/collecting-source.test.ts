// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { CollectingSource } from "./collecting-source.ts";
import type { Collector } from "./collector.ts";
import { UnavailableSource } from "./unavailable-source.ts";

const load: Collector = {
  signals: ["host_load"],
  collect: (rowsMax) => [{ signal: "host_load", rows: [{ rowsMax }], state: "exact", reason: "" }],
};
const broken: Collector = {
  signals: ["energy", "network_devices"],
  collect: () => {
    throw new Error("/proc/net/dev: EACCES");
  },
};

describe("CollectingSource", () => {
  it("adds rows and coverage of each collector to those of its source", async () => {
    const source = new CollectingSource(new UnavailableSource("failed", "no BPF"), [load], 100);
    const data = await source.readWindow(40);
    expect([...data.rows]).toEqual([["host_load", [{ rowsMax: 40 }]]]);
    expect(data.coverage.filter(({ signal }) => signal === "host_load")).toEqual([{ signal: "host_load", state: "exact", reason: "" }]);
    expect(data.coverage).toContainEqual({ signal: "tcp_rtt", state: "failed", reason: "no BPF" });
    expect([...(await source.readWindow()).rows]).toEqual([["host_load", [{ rowsMax: 100 }]]]);
  });

  it("says failed of the signals of a collector that throws, and asks the others all the same", async () => {
    const source = new CollectingSource(new UnavailableSource("failed", "no BPF"), [broken, load], 100);
    const data = await source.readWindow();
    expect(data.coverage).toContainEqual({ signal: "energy", state: "failed", reason: "/proc/net/dev: EACCES" });
    expect(data.coverage).toContainEqual({ signal: "network_devices", state: "failed", reason: "/proc/net/dev: EACCES" });
    expect([...data.rows].map(([signal]) => signal)).toEqual(["host_load"]);
  });

  it("asks the collectors also when its source cannot be read, so that their next window is one window and not two", async () => {
    const failures: string[] = [];
    let windows = 0;
    const counting: Collector = {
      signals: ["host_load"],
      collect: () => [{ signal: "host_load", rows: [{ window: ++windows }], state: "exact", reason: "" }],
    };
    const closed = {
      readWindow: () => Promise.reject(new Error("EPERM at map read")),
      close: () => {},
    };
    const source = new CollectingSource(closed, [counting], 100, (words) => failures.push(words));
    const data = await source.readWindow();
    expect([...data.rows]).toEqual([["host_load", [{ window: 1 }]]]);
    expect(data.coverage).toContainEqual({ signal: "tcp_rtt", state: "failed", reason: "reading the window failed: EPERM at map read" });
    expect(data.coverage).toContainEqual({ signal: "host_load", state: "exact", reason: "" });
    expect(failures).toEqual(["EPERM at map read"]);
  });
});
