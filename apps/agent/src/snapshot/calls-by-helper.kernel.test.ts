// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { describeKernel, openSource, rowsOf, sumOf, Workload } from "../../test/kernel-testing.ts";
import { programPlans } from "../probes/programs.ts";

const PORT = 47_871;

/** As on kernels before Linux 6.2, whose programs cannot read any address by a load of their own. */
const plansWithoutDirectLoads = programPlans
  .filter(({ object }) => object === "syscall")
  .map((plan) => {
    if (plan.name !== "on_sys_exit") return plan;
    const { decide: _decide, ...rest } = plan;
    return rest;
  });

describeKernel("calls whose files and sockets are read by a helper", () => {
  it("are counted as those that are read directly: 101 writes, 53 opens, 59 datagrams each way", async () => {
    using files = new Workload("file-workload.c");
    using datagrams = new Workload("udp-workload.c");
    using source = await openSource({ programs: plansWithoutDirectLoads });
    // Not in /tmp, which may be a file system without inodes of its own.
    const directory = mkdtempSync(join(process.cwd(), ".waggle-helper-"));
    try {
      const file = join(directory, "file");
      await source.readWindow();
      await files.run("wgl-helper", "repeat", ["file", file, 101]);
      await files.run("wgl-helper-open", "repeat", ["open", file, 53]);
      await datagrams.run("wgl-helper-udp", "exchange", ["127.0.0.1", PORT, "sendto", "recvfrom", 59, 10]);
      const window = await source.readWindow();
      expect(rowsOf(window, "file_io", { process: "wgl-helper", file })).toMatchObject([{ writes: 101n, written_bytes: 101n }]);
      // One more: the file that is opened again and again is opened first.
      expect(sumOf(rowsOf(window, "file_opens", { process: "wgl-helper-open", file }), "count")).toBe(54);
      const traffic = rowsOf(window, "udp_traffic", { process: "wgl-helper-udp" });
      expect(sumOf(traffic, "datagrams_sent")).toBe(59);
      expect(sumOf(traffic, "datagrams_received")).toBe(59);
      expect(sumOf(traffic, "bytes_received")).toBe(590);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
