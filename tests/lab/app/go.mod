module example.com/slipway/shop

go 1.25
