// SPDX-License-Identifier: Apache-2.0
"use client";

import { LogOut } from "lucide-react";
import Link from "next/link";
import { useRouter, useSelectedLayoutSegment } from "next/navigation";
import { type ReactNode, useMemo, useRef, useState } from "react";
import { signOut } from "@/lib/api/client";
import { useHosts } from "@/lib/api/hooks";
import { shareLink, useLinks } from "@/lib/links";
import { TablesContext, useShortcuts } from "@/lib/shortcuts";
import { useView, ViewProvider } from "@/lib/view";
import { Brand, Hexagon } from "./brand";
import { FilterBox } from "./filter-box";
import { HelpDialog } from "./help-dialog";
import { LiveButton } from "./live-button";
import { CommandPalette } from "./palette";
import { RangePicker } from "./range-picker";
import styles from "./shell.module.css";
import { SimulatedBanner } from "./simulated";
import { ThemeMenu } from "./theme-menu";

/** The frame of every signed-in page: where one can go, what is shown, from when to when. */
export function Shell({ children }: { children: ReactNode }) {
  return (
    <div className={styles["app"]}>
      <a href="#main" className={styles["skip"]}>
        Skip to the page
      </a>
      <Navigation />
      <ViewProvider
        fallback={
          <div className={styles["column"]}>
            <div className={styles["bar"]} />
            <main id="main" className={styles["main"]} aria-busy="true" />
          </div>
        }
      >
        <Column>{children}</Column>
      </ViewProvider>
    </div>
  );
}

function Navigation() {
  const links = useLinks();
  const segment = useSelectedLayoutSegment();
  const item = (name: string, href: string, label: string): ReactNode => (
    <Link href={href} className={styles["item"]} aria-current={segment === name ? "page" : undefined}>
      <Hexagon />
      {label}
    </Link>
  );
  return (
    <nav className={styles["nav"]} aria-label="Pages">
      <div className={styles["navInner"]}>
        <Link href={links.fleet} className={styles["home"]}>
          <Brand />
        </Link>
        <div className={styles["items"]}>
          {item("fleet", links.fleet, "Fleet")}
          {item("hosts", links.hosts, "Hosts")}
          {item("explore", links.explore(), "Explore")}
        </div>
        <div className={styles["foot"]}>
          <ThemeMenu />
          <button type="button" className={styles["item"]} aria-label="Sign out" onClick={() => void leave()}>
            <LogOut size={15} strokeWidth={1.5} aria-hidden="true" />
            <span className={styles["footLabel"]}>Sign out</span>
          </button>
        </div>
      </div>
    </nav>
  );
}

async function leave(): Promise<void> {
  await signOut().catch(() => undefined);
  window.location.assign("/sign-in");
}

function Column({ children }: { children: ReactNode }) {
  const view = useView();
  const links = useLinks();
  const router = useRouter();
  const [help, setHelp] = useState(false);
  const [palette, setPalette] = useState(false);
  const [tables, setTables] = useState({ all: false, revision: 0 });
  const filter = useRef<HTMLInputElement>(null);

  const hosts = useHosts().data;
  const [said, setSaid] = useState("");

  async function copyLink(): Promise<void> {
    const card = document.activeElement?.closest("[data-card]")?.id;
    const done = await navigator.clipboard.writeText(shareLink(view.range, true, card)).then(
      () => true,
      () => false,
    );
    setSaid(done ? "Link copied, frozen to this data" : "The link could not be copied: the browser refused");
    setTimeout(() => setSaid(""), 4000);
  }

  useShortcuts({
    "?": () => setHelp(true),
    "ctrl+k": () => setPalette((open) => !open),
    "/": () => filter.current?.focus(),
    t: () => {
      const card = document.activeElement?.closest("[data-card]");
      const toggle = card?.querySelector<HTMLButtonElement>("[data-toggle-table]");
      if (toggle) toggle.click();
      else setTables((t) => ({ all: !t.all, revision: t.revision + 1 }));
    },
    l: view.togglePaused,
    "[": () => view.shift(-1),
    "]": () => view.shift(1),
    z: view.zoomOut,
    y: () => void copyLink(),
    "g f": () => router.push(links.fleet),
    "g h": () => router.push(links.hosts),
    "g e": () => router.push(links.explore()),
  });

  const context = useMemo(() => tables, [tables]);
  return (
    <TablesContext value={context}>
      <div className={styles["column"]}>
        <header className={styles["bar"]}>
          <FilterBox inputRef={filter} />
          <button type="button" className={styles["control"]} onClick={() => setPalette(true)}>
            <kbd>Ctrl K</kbd> <span>Go to</span>
          </button>
          <RangePicker />
          <LiveButton />
        </header>
        <SimulatedBanner hosts={hosts} />
        <main id="main" className={styles["main"]} tabIndex={-1}>
          {children}
        </main>
      </div>
      <p role="status" className={styles["toast"]} data-shown={said === "" ? undefined : ""}>
        {said}
      </p>
      <HelpDialog open={help} onOpenChange={setHelp} />
      <CommandPalette open={palette} onOpenChange={setPalette} onHelp={() => setHelp(true)} />
    </TablesContext>
  );
}
