/**
 * Runs `run` when the event loop has gone through what is ready now. Not a time: the next turn, so that pushes
 * that arrived together are committed together.
 */
export function nextTurn(run: () => void): void {
  setImmediate(run)
}
