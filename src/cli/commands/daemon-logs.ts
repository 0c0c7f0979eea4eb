import { describeLogLine } from '../../daemon/log/log-line.ts'
import { logPath } from '../../daemon/log/daemon-log.ts'
import { followLog, readLastLines } from '../../daemon/log/read-log.ts'
import type { CliContext } from '../context.ts'

/** tidemark daemon logs [-f] [-n N]: the last lines, and with `-f` all that come until Ctrl-C. */
export async function showLogs(
  { output, folders, clock, signal, out }: CliContext,
  options: { readonly follow?: boolean; readonly lines: number },
): Promise<void> {
  const path = logPath(folders)
  const following = options.follow === true ? followLog(path, clock, signal) : null
  const lines = readLastLines(path, options.lines)
  if (following === null) {
    // With --json the lines as they stand in the file.
    const values = output.json ? lines.map(parseLine) : []
    const shown = lines.map(describeLogLine)
    return output.result({ file: path, lines: values }, shown.length === 0 ? ['The log is empty.'] : shown)
  }
  const print = (line: string): unknown => out.write(`${output.json ? line : describeLogLine(line)}\n`)
  for (const line of lines) print(line)
  for await (const line of following) print(line)
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return { msg: line }
  }
}
