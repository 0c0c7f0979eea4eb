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
