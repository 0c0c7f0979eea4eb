/** What a request under way gets after Ctrl-C, in milliseconds: whoever sent it sends it again, without harm (I3). */
export const STOP_MS = 1_500

/** Resolves when the command is asked to stop. */
export function untilStopped(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
    // Nothing else may keep the process alive meanwhile.
    const alive = setInterval(() => {}, 1 << 30)
    signal.addEventListener('abort', () => clearInterval(alive), { once: true })
  })
}
