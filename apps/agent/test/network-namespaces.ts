// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { parseNetworkCounters } from "../src/kernel/network-counters.ts";

const run = (command: string): string => execFileSync("sh", ["-c", command], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

/** Two network namespaces joined by a veth pair, 10.213.0.1 in the first and 10.213.0.2 in the second. Needs root. */
export class NamespacePair implements Disposable {
  readonly first = `waggle-a-${process.pid}`;
  readonly second = `waggle-b-${process.pid}`;
  readonly firstAddress = "10.213.0.1";
  readonly secondAddress = "10.213.0.2";

  constructor() {
    run(`ip netns add ${this.first} && ip netns add ${this.second}`);
    try {
      run(`ip -n ${this.first} link add va type veth peer name vb netns ${this.second}`);
      for (const [namespace, device, address] of [
        [this.first, "va", this.firstAddress],
        [this.second, "vb", this.secondAddress],
      ]) {
        run(
          `ip -n ${namespace} addr add ${address}/24 dev ${device} && ip -n ${namespace} link set ${device} up && ip -n ${namespace} link set lo up`,
        );
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Lets the first namespace send `rate` with hardly any queue, so that it loses segments. */
  throttle(rate: string): void {
    run(`tc -n ${this.first} qdisc add dev va root tbf rate ${rate} burst 2kb limit 4kb`);
  }

  /** Takes the link of the second namespace away: whatever is sent gets no answer. */
  blackhole(): void {
    run(`ip -n ${this.second} addr flush dev vb && ip -n ${this.first} neigh replace 10.213.0.9 lladdr 02:00:00:00:00:09 dev va`);
  }

  /** A kernel counter of TCP (/proc/net/snmp), summed over both namespaces, or those given. */
  tcpCounter(name: string, namespaces = [this.first, this.second]): number {
    return this.counter("snmp", "Tcp", name, namespaces);
  }

  /** A kernel counter of a protocol, summed over both namespaces, or those given. */
  counter(file: "snmp" | "netstat", protocol: string, name: string, namespaces = [this.first, this.second]): number {
    return namespaces.reduce((sum, namespace) => {
      const value = parseNetworkCounters(run(`ip netns exec ${namespace} cat /proc/net/${file}`), protocol).get(name);
      if (value === undefined) throw new Error(`no counter ${protocol} ${name}`);
      return sum + Number(value);
    }, 0);
  }

  [Symbol.dispose](): void {
    for (const namespace of [this.first, this.second]) {
      try {
        run(`ip netns del ${namespace}`);
      } catch {
        // It was never made.
      }
    }
  }
}
