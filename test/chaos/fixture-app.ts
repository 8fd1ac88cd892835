import { killPointAgents } from './kill-point-agents.ts'
import { puppet } from './puppet-agent.ts'
import { randomAgents } from './random-agents.ts'

// The command line takes its agents from a default export.
// oxlint-disable-next-line import/no-default-export
export default { agents: [puppet, ...killPointAgents, ...randomAgents] }
