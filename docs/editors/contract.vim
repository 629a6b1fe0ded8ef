" Vim syntax for Hansa contracts. Put this into ~/.vim/syntax/contract.vim, and into ~/.vim/ftdetect/contract.vim:
"   autocmd BufRead,BufNewFile *.contract setfiletype contract
if exists("b:current_syntax")
  finish
endif
syntax case match
syntax keyword contractKeyword abort and append as by delete elif else emit ensure exists expect false for if in insert is let none not of old or pass put remove require return role true update var where zero
syntax keyword contractDeclaration contract version replaces uses const enum record table key index readers everyone event invariant each unchanged sum migrate function query action anyone apart from schedule on every day days month limit first with to test tests parties at emitted
syntax keyword contractType bool currency date int list map money party rate text user
syntax keyword contractSpecial caller height result row sender today
syntax keyword contractBuiltin abs add_months company_has count day_of days_between default end_of_month floor_div max min mod money_of month_of new_id range round_down round_half_even round_half_up share split starts_with value_of weekday year_fraction year_of
syntax match contractName "\<[A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9]*\>"
syntax match contractRule "\<[A-Z]\{1,4}[0-9]\{1,3}\>"
syntax match contractNumber "\<[0-9][0-9_]*\(\.[0-9]\+\)\=%\="
syntax match contractNumber "\<[0-9]\{4}-[0-9]\{2}-[0-9]\{2}\>"
syntax match contractInsert contained "{[a-z][a-z0-9_.]*}"
syntax region contractText start=+"+ skip=+\\"+ end=+"+ oneline contains=contractInsert
syntax match contractComment "#.*$"
highlight default link contractKeyword Keyword
highlight default link contractDeclaration Statement
highlight default link contractType Type
highlight default link contractSpecial Identifier
highlight default link contractBuiltin Function
highlight default link contractName Type
highlight default link contractRule Constant
highlight default link contractNumber Number
highlight default link contractInsert Special
highlight default link contractText String
highlight default link contractComment Comment
let b:current_syntax = "contract"
