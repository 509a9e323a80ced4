// SPDX-License-Identifier: Apache-2.0
"use client";

import { Hourglass } from "lucide-react";
import styles from "../page.module.css";

/** Before the first host: what to do, and that this page waits for it. */
export function Enrol() {
  return (
    <>
      <h1 className={styles["sentence"]}>No host reports yet.</h1>
      <div className={styles["enrol"]}>
        <h2>Start an agent</h2>
        <p>
          <code className="mono">./waggle up</code> starts an agent on this machine and enrols it. It needs a kernel with BTF and either root or sudo
          once, to give the agent its two capabilities:
        </p>
        <pre>./waggle up</pre>
        <p>What this machine's kernel can give, and what is missing, says:</p>
        <pre>./waggle doctor</pre>
        <p role="status">
          <Hourglass size={15} strokeWidth={1.5} aria-hidden="true" style={{ verticalAlign: "-2px" }} /> Waiting. This page shows the host as soon as
          its agent is enrolled; the first numbers come one window of 10 s later.
        </p>
      </div>
    </>
  );
}
