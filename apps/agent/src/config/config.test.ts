// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { ConfigError, isLoopback, loadConfig, settings } from "./config.ts";

describe("loadConfig", () => {
  it("works with nothing set", () => {
    const { config, warnings } = loadConfig({});
    expect(config.api).toEqual({ url: "http://127.0.0.1:7302", host: "127.0.0.1", port: 7302, encrypted: false });
    expect(config.windowMs).toBe(10_000);
    expect(config.spoolBytesMax).toBe(256 * 1024 * 1024);
    expect(warnings).toEqual([]);
  });

  it("treats an empty variable as unset", () => {
    expect(loadConfig({ WAGGLE_AGENT_WINDOW_MS: "" }).config.windowMs).toBe(10_000);
  });

  it("names every wrong variable at once and never repeats a value", () => {
    try {
      loadConfig({ WAGGLE_AGENT_WINDOW_MS: "7000", WAGGLE_AGENT_API_URL: "https://user:hunter2@api:1", WAGGLE_AGENT_CA_FILE: "ca.pem" });
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigError);
      expect((error as ConfigError).problems).toHaveLength(3);
      expect((error as Error).message).toContain("WAGGLE_AGENT_WINDOW_MS: expected a divisor of 60000");
      expect((error as Error).message).not.toContain("hunter2");
    }
  });

  it("refuses plaintext to another machine unless it is allowed", () => {
    expect(() => loadConfig({ WAGGLE_AGENT_API_URL: "http://10.1.2.3:7302" })).toThrow("WAGGLE_AGENT_PLAINTEXT_ALLOWED");
    expect(loadConfig({ WAGGLE_AGENT_API_URL: "http://10.1.2.3:7302", WAGGLE_AGENT_PLAINTEXT_ALLOWED: "true" }).config.api.host).toBe("10.1.2.3");
    expect(loadConfig({ WAGGLE_AGENT_API_URL: "https://api.example" }).config.api).toMatchObject({ port: 443, encrypted: true });
    expect(loadConfig({ WAGGLE_AGENT_API_URL: "http://[::1]:7302" }).config.api.host).toBe("::1");
  });

  it("warns about a variable it does not know", () => {
    expect(loadConfig({ WAGGLE_AGENT_WINDOWMS: "1000", WAGGLE_API_PORT: "1" }).warnings).toEqual([expect.stringContaining("WAGGLE_AGENT_WINDOWMS")]);
  });

  it("documents each variable once", () => {
    const names = Object.values(settings).map((setting) => setting.variable);
    expect(new Set(names).size).toBe(names.length);
  });

  it("takes signals off by name, and names the nearest to one that does not exist", () => {
    const load = (value: string) => loadConfig({ WAGGLE_AGENT_SIGNALS_OFF: value }).config.signalsOff;
    expect([...load(" tcp_rtt , off_cpu,host_load")]).toEqual(["tcp_rtt", "off_cpu", "host_load"]);
    expect(load("").size).toBe(0);
    expect(() => load("tcp_rrt")).toThrow(ConfigError);
    expect(() => load("tcp_rrt")).toThrow("did you mean tcp_rtt?");
    expect(() => load("agent_coverage")).toThrow("cannot be switched off");
  });

  it("takes tags, and says which one breaks which rule", () => {
    const load = (value: string | undefined) => loadConfig({ WAGGLE_AGENT_TAGS: value }).config.tags;
    expect(load(undefined)).toEqual({});
    expect(load("env=prod, region = eu-1 ,note=a=b")).toEqual({ env: "prod", region: "eu-1", note: "a=b" });
    expect(() => load("env")).toThrow("expected key=value pairs");
    expect(() => load("env=prod,Env=prod")).toThrow("tag 2: a tag's key begins with a lower-case letter");
    expect(() => load("env=")).toThrow("1 to 128 characters");
    expect(() => load("env=a,env=b")).toThrow("twice");
    expect(() => load(Array.from({ length: 33 }, (_, index) => `k${index}=v`).join(","))).toThrow("at most 32");
  });

  it("reads the CPU budget as per cent of one core", () => {
    const load = (value: string | undefined) => loadConfig({ WAGGLE_AGENT_CPU_BUDGET: value }).config.cpuBudget;
    expect(load(undefined)).toBe(0.1);
    expect(load("0.5")).toBe(0.005);
    expect(load("150 %")).toBe(1.5);
    for (const wrong of ["0", "2000", "much", "-1"]) expect(() => load(wrong)).toThrow("per cent of one core");
  });
});

describe("isLoopback", () => {
  it("knows what never leaves the machine", () => {
    expect(["localhost", "::1", "127.0.0.1", "127.8.8.8"].every(isLoopback)).toBe(true);
    expect(["0.0.0.0", "127.example.com", "10.0.0.1", "::2"].some(isLoopback)).toBe(false);
  });
});
