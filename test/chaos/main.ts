import { mkdir, writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { runChaos, type ChaosReport } from './chaos-run.ts'

/*
 * npm run chaos -- [--kills 100] [--seconds 600] [--clients 6] [--seed n]
 *
 * Kills a server under load again and again and checks everything it promised. Exit code 1 where a promise was broken. The
 * seed gives the same load and the same moments of the kills; what falls between two machine instructions it does not.
 */
const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '100' },
    seconds: { type: 'string', default: '600' },
    clients: { type: 'string', default: '6' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
  },
})
const options = {
  kills: Number(values.kills),
  seconds: Number(values.seconds),
  clients: Number(values.clients),
  seed: Number(values.seed),
}

console.log(`chaos: ${options.kills} kills, seed ${options.seed}`)
const report = await runChaos(options)
console.log(toTable(report))
const folder = new URL('results/', import.meta.url)
await mkdir(folder, { recursive: true })
await writeFile(new URL(`${report.seed}.json`, folder), `${JSON.stringify(report, null, 2)}\n`)

if (report.violations.length > 0) {
  for (const violation of report.violations.slice(0, 50)) console.log(`violation: ${violation}`)
  console.log(
    `again: npm run chaos -- --kills ${options.kills} --clients ${options.clients} --seed ${options.seed}`,
  )
  // A request that never ends must not keep us.
  process.exit(1)
}

function toTable(result: ChaosReport): string {
  const { runs, approvals, recoveryMs } = result
  const percentiles = ({ p50, p99, max }: typeof recoveryMs.fromReady) => `${p50} / ${p99} / ${max} ms`
  const rows: [string, string | number][] = [
    ['kills', `${result.kills}, ${result.killsDuringStart} of them during the start`],
    ['time', `${result.seconds} s`],
    ['runs stored / accepted', `${runs.stored} / ${runs.accepted}`],
    ['completed / failed / cancelled', `${runs.completed} / ${runs.failed} / ${runs.cancelled}`],
    ['failures by code', JSON.stringify(result.failures)],
    ['tool executions', result.toolExecutions],
    ['rescues', result.rescues],
    [
      'approvals: policy / outcome unknown / questions',
      `${approvals.policy} / ${approvals.outcomeUnknown} / ${approvals.question}`,
    ],
    ['work of agents', JSON.stringify(result.work)],
    ['recovery from /ready, p50 / p99 / max', percentiles(recoveryMs.fromReady)],
    ['recovery from process start, p50 / p99 / max', percentiles(recoveryMs.fromProcessStart)],
    ['violations', result.violations.length],
  ]
  return rows.map(([name, value]) => `| ${name} | ${value} |`).join('\n')
}
