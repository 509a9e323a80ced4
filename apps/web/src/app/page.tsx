// SPDX-License-Identifier: Apache-2.0
import { cookies } from "next/headers";
import { redirect } from "next/navigation";

export default async function Home(): Promise<never> {
  const signedIn = (await cookies()).has("waggle_session");
  redirect(signedIn ? "/o/default/fleet" : "/sign-in");
}
