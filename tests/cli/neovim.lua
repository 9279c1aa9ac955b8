-- Edits a rule module as an author does, with the editor's own client, and writes what it saw as JSON.
local folder, python, result = vim.env.RULES, vim.env.PYTHON, vim.env.RESULT
local seen = {}

local function wait(what, condition)
  if not vim.wait(45000, condition, 20) then error("waited in vain for " .. what) end
end

local function diagnostics()
  local found = {}
  for _, each in ipairs(vim.diagnostic.get(0)) do
    table.insert(found, { line = each.lnum, from = each.col, to = each.end_col, message = each.message })
  end
  return found
end

local function ask(method, line, column, more)
  vim.api.nvim_win_set_cursor(0, { line + 1, column })
  local params = vim.tbl_extend("force", vim.lsp.util.make_position_params(0, "utf-16"), more or {})
  local answers = vim.lsp.buf_request_sync(0, method, params, 45000)
  for _, answer in pairs(answers or {}) do return answer.result end
end

local function find(pattern)
  for number, line in ipairs(vim.api.nvim_buf_get_lines(0, 0, -1, false)) do
    local from, to = line:find(pattern, 1, true)
    if from then return number - 1, from - 1, to end
  end
  error("no line has " .. pattern)
end

local function run()
  vim.cmd("edit " .. folder .. "/health_code/frame.yaml")
  local client = vim.lsp.start_client({
    name = "chengma",
    cmd = { python, "-m", "backend", "rules", "lsp", "--rules", folder },
    cmd_env = { CHENGMA_LANGUAGE = "zh" },
    root_dir = folder,
  })
  vim.lsp.buf_attach_client(0, client)
  wait("the server", function() return vim.lsp.get_client_by_id(client) and vim.lsp.get_client_by_id(client).initialized end)

  local line, from, to = find("facts.doses")
  vim.api.nvim_buf_set_text(0, line, from, line, to, { "facts.dosis" })
  wait("a fault", function() return #vim.diagnostic.get(0) == 1 end)
  seen.faults = diagnostics()

  local range = vim.lsp.util.make_given_range_params({ line + 1, from + 6 }, { line + 1, from + 10 }, 0, "utf-16")
  range.context = { diagnostics = {} }
  local actions = vim.lsp.buf_request_sync(0, "textDocument/codeAction", range, 45000)
  for _, answer in pairs(actions) do
    vim.lsp.util.apply_workspace_edit(answer.result[1].edit, "utf-16")
  end
  seen.corrected = vim.api.nvim_buf_get_lines(0, line, line + 1, false)[1]
  wait("no fault", function() return #vim.diagnostic.get(0) == 0 end)

  line, from, to = find("facts.doses")
  local completion = ask("textDocument/completion", line, from + #"facts.")
  seen.completion = vim.tbl_map(function(item) return item.label end, completion.items)
  line, from, to = find(">= doses_due")
  seen.hover = ask("textDocument/hover", line, to - 3).contents.value
  seen.definition = ask("textDocument/definition", line, to - 3).range.start.line
  wait("lenses", function()
    local lenses = ask("textDocument/codeLens", line, 0)
    seen.lens = lenses and lenses[1] and lenses[1].command.title
    return seen.lens ~= nil
  end)

  vim.lsp.util.apply_workspace_edit(ask("textDocument/rename", line, to - 3, { newName = "full_course" }), "utf-16")
  seen.renamed = vim.api.nvim_buf_get_lines(0, line, line + 1, false)[1]
  vim.wait(1500, function() return false end)
  seen.faults_after_renaming = diagnostics()
end

local done, problem = pcall(run)
if not done then seen.problem = tostring(problem) end
local file = io.open(result, "w")
file:write(vim.fn.json_encode(seen))
file:close()
vim.cmd("qall!")
