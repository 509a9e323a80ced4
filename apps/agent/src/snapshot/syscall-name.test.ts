// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { syscallName } from "./syscall-name.ts";

it("names a call by the table of its architecture", () => {
  expect([
    syscallName(39, "x64"),
    syscallName(39, "arm64"),
    syscallName(172, "arm64"),
    syscallName(222, "arm64"),
    syscallName(435, "x64"),
    syscallName(435, "arm64"),
  ]).toEqual(["getpid", "umount2", "getpid", "mmap", "clone3", "clone3"]);
});

it("marks a 32-bit call and takes its name from the 32-bit table", () => {
  expect(syscallName(0x80000000 + 39, "x64")).toBe("compat:mkdir");
});

it("keeps the number of a call it does not know", () => {
  expect([syscallName(9999, "x64"), syscallName(0xffffffff, "arm64")]).toEqual(["syscall_9999", "compat:syscall_2147483647"]);
});
