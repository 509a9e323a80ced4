// SPDX-License-Identifier: Apache-2.0
"use client";

import { Dialog } from "@base-ui/react/dialog";
import { Command } from "cmdk";
import { useRouter } from "next/navigation";
import { useHosts, useSignals } from "@/lib/api/hooks";
import { useLinks } from "@/lib/links";
import { PRESETS } from "@/lib/time-range";
import { useView } from "@/lib/view";
import styles from "./floating.module.css";

/** Drawn hosts at most; the search runs over what is drawn, so more would only slow typing down. */
const HOSTS_MAX = 300;

export function CommandPalette({ open, onOpenChange, onHelp }: { open: boolean; onOpenChange: (open: boolean) => void; onHelp: () => void }) {
  return (
    <Dialog.Root open={open} onOpenChange={onOpenChange}>
      <Dialog.Portal>
        <Dialog.Backdrop className={styles["backdrop"]} />
        <Dialog.Popup className={styles["dialog"]} style={{ padding: 8 }}>
          <Dialog.Title className="visually-hidden">Go to</Dialog.Title>
          <Commands close={() => onOpenChange(false)} onHelp={onHelp} />
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

function Commands({ close, onHelp }: { close: () => void; onHelp: () => void }) {
  const router = useRouter();
  const links = useLinks();
  const view = useView();
  const hosts = useHosts().data ?? [];
  const signals = useSignals().data ?? [];
  const run = (action: () => void) => () => {
    close();
    action();
  };
  return (
    <Command label="Go to" loop>
      <Command.Input className={styles["search"]} placeholder="Page, host, range…" autoFocus />
      <Command.List className={styles["list"]}>
        <Command.Empty className={styles["label"]}>Nothing by that name.</Command.Empty>
        <Command.Group heading="Pages">
          <Item value="Fleet" onSelect={run(() => router.push(links.fleet))} hint="g f" />
          <Item value="Hosts" onSelect={run(() => router.push(links.hosts))} hint="g h" />
          <Item value="Explore" onSelect={run(() => router.push(links.explore()))} hint="g e" />
          <Item value="Keyboard help" onSelect={run(onHelp)} hint="?" />
        </Command.Group>
        <Command.Group heading="Hosts">
          {hosts.slice(0, HOSTS_MAX).map((host) => (
            <Item
              key={host.id}
              value={host.name}
              onSelect={run(() => router.push(links.host(host.name)))}
              hint={[host.simulated ? "simulated" : "", host.state === "reporting" ? "" : host.state].filter((t) => t !== "").join(", ")}
            />
          ))}
        </Command.Group>
        <Command.Group heading="Signals">
          {signals.map((signal) => (
            <Item key={signal.name} value={signal.name} onSelect={run(() => router.push(links.explore(signal.name)))} hint={signal.family} />
          ))}
        </Command.Group>
        <Command.Group heading="Range">
          {PRESETS.map((preset) => (
            <Item key={preset.text} value={preset.label} onSelect={run(() => view.setRange({ from: preset.text, to: "now" }))} hint="" />
          ))}
        </Command.Group>
      </Command.List>
    </Command>
  );
}

function Item({ value, hint, onSelect }: { value: string; hint: string; onSelect: () => void }) {
  return (
    <Command.Item value={value} onSelect={onSelect} className={styles["item"]}>
      {value}
      {hint && <span className={styles["hint"]}>{hint}</span>}
    </Command.Item>
  );
}
