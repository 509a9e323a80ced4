// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BlockDevices, blockDeviceName } from "./block-device.ts";

describe("blockDeviceName", () => {
  let sys: string;
  beforeAll(() => {
    sys = mkdtempSync(join(tmpdir(), "waggle-sys-"));
    mkdirSync(join(sys, "dev/block"), { recursive: true });
    symlinkSync("../../devices/pci0000:00/virtio0/block/vda", join(sys, "dev/block/254:0"));
    symlinkSync("../../devices/pci0000:00/block/cciss!c0d0", join(sys, "dev/block/104:1048575"));
  });
  afterAll(() => rmSync(sys, { recursive: true }));

  it("finds the name by major and minor number", () => {
    expect(blockDeviceName(254 * 2 ** 20, sys)).toBe("vda");
    expect(blockDeviceName(104 * 2 ** 20 + 1_048_575, sys)).toBe("cciss/c0d0");
  });

  it("shows the numbers of a device that is gone, and nothing for no device", () => {
    expect(blockDeviceName(4095 * 2 ** 20 + 3, sys)).toBe("4095:3");
    expect(blockDeviceName(0, sys)).toBe("");
  });

  it("asks once per window, so that a number given to another device is called by its name from the next window on", () => {
    const devices = new BlockDevices(sys);
    expect(devices.nameOf(7)).toBe("0:7");
    symlinkSync("../../devices/virtual/block/loop7", join(sys, "dev/block/0:7"));
    expect(devices.nameOf(7)).toBe("0:7");
    devices.begin();
    expect(devices.nameOf(7)).toBe("loop7");
  });
});
