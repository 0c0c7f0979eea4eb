/**
 * What a machine knows of a replica's identity, kept outside the replica's own file, so that a restored,
 * copied or moved file is noticed before it can push under an identity that lives elsewhere (I13).
 */
export interface IdentityGuard {
  /**
   * - `same`: this file, and its last mutation number is not behind the recorded one.
   * - `restored`: this file, but older than what was recorded: its state went back in time.
   * - `copied`: the identity belongs to another file that still exists.
   * - `unknown`: this machine has no record of the identity: the file came from elsewhere.
   * A file that was moved (the recorded place is gone) is `same`.
   */
  verdict(replica: string, lastMutation: number): Promise<Verdict>
  /** Records that `mutation` is about to be sent. Durable on the disk when it resolves; never goes back by itself. */
  record(replica: string, mutation: number): Promise<void>
  /**
   * The last recorded `mutation` was refused for good and never taken: its number is used again, and a file that is
   * behind it is not older for that. Nothing happens when another one is recorded.
   */
  takeBack(replica: string, mutation: number): Promise<void>
  /** Forgets an identity that is no longer used. */
  forget(replica: string): Promise<void>
}

export type Verdict = 'same' | 'restored' | 'copied' | 'unknown'
