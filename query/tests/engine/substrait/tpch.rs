//! The queries of TPC-H as plans.

use std::path::Path;

use crate::support::Fixture;

/// The tables of TPC-H, small, with values that its queries look for.
async fn tpch() -> Fixture {
    let f = Fixture::memory().await;
    for (table, columns, rows) in [
        (
            "region",
            "i as r_regionkey, (array['AFRICA', 'AMERICA', 'ASIA', 'EUROPE', 'MIDDLE EAST'])[i + 1] as r_name",
            5,
        ),
        (
            "nation",
            "i as n_nationkey, i % 5 as n_regionkey, \
             (array['FRANCE', 'GERMANY', 'SAUDI ARABIA', 'CANADA', 'BRAZIL'])[i % 5 + 1] as n_name",
            25,
        ),
        (
            "supplier",
            "i as s_suppkey, 'supplier ' || i as s_name, 'street ' || i as s_address, i % 25 as s_nationkey, \
             '1' || (i % 9) || '-555' as s_phone, cast(i * 7 % 100 as decimal(15, 2)) as s_acctbal, 'Complaints' as s_comment",
            20,
        ),
        (
            "customer",
            "i as c_custkey, 'customer ' || i as c_name, 'street' as c_address, i % 25 as c_nationkey, \
             (array['13', '31', '23', '99'])[i % 4 + 1] || '-555' as c_phone, cast(i * 13 % 100 as decimal(15, 2)) as c_acctbal, \
             (array['BUILDING', 'MACHINERY'])[i % 2 + 1] as c_mktsegment, 'none' as c_comment",
            60,
        ),
        (
            "part",
            "i as p_partkey, (array['green', 'forest', 'red'])[i % 3 + 1] || ' part' as p_name, 'Maker' as p_mfgr, \
             (array['Brand#12', 'Brand#23', 'Brand#45'])[i % 3 + 1] as p_brand, \
             (array['LARGE BRASS', 'PROMO TIN', 'ECONOMY ANODIZED STEEL'])[i % 3 + 1] as p_type, \
             (array[15, 49, 14, 3])[i % 4 + 1] as p_size, (array['MED BOX', 'SM CASE'])[i % 2 + 1] as p_container, \
             cast(i as decimal(15, 2)) as p_retailprice, 'none' as p_comment",
            80,
        ),
        (
            "partsupp",
            "i % 80 as ps_partkey, i % 20 as ps_suppkey, i * 3 as ps_availqty, \
             cast(i % 50 + 1 as decimal(15, 2)) as ps_supplycost, 'none' as ps_comment",
            160,
        ),
        (
            "orders",
            "i as o_orderkey, i % 45 as o_custkey, (array['F', 'O'])[i % 2 + 1] as o_orderstatus, \
             cast(i * 100 as decimal(15, 2)) as o_totalprice, date '1992-01-01' + cast(i * 5 % 2400 as int) as o_orderdate, \
             (array['1-URGENT', '2-HIGH', '5-LOW'])[i % 3 + 1] as o_orderpriority, 'clerk' as o_clerk, 0 as o_shippriority, \
             'special deposits' as o_comment",
            500,
        ),
        (
            "lineitem",
            "i % 500 as l_orderkey, i % 80 as l_partkey, i % 20 as l_suppkey, i % 7 as l_linenumber, \
             cast(i % 50 + 1 as decimal(15, 2)) as l_quantity, cast(i * 10 as decimal(15, 2)) as l_extendedprice, \
             cast(i % 10 as decimal(15, 2)) / 100 as l_discount, cast(0.02 as decimal(15, 2)) as l_tax, \
             (array['R', 'A', 'N'])[i % 3 + 1] as l_returnflag, (array['O', 'F'])[i % 2 + 1] as l_linestatus, \
             date '1992-02-01' + cast(i * 3 % 2400 as int) as l_shipdate, date '1992-02-10' + cast(i * 3 % 2400 as int) as l_commitdate, \
             date '1992-02-05' + cast(i * 3 % 2420 as int) as l_receiptdate, \
             (array['DELIVER IN PERSON', 'NONE'])[i % 2 + 1] as l_shipinstruct, \
             (array['AIR', 'MAIL', 'SHIP', 'AIR REG'])[i % 4 + 1] as l_shipmode, 'none' as l_comment",
            3000,
        ),
    ] {
        f.update(&format!("create table {table} as select {columns} from generate_series(0, {rows} - 1) as s(i)"))
            .await;
    }
    f
}

const TPCH: [&str; 8] = ["region", "nation", "supplier", "customer", "part", "partsupp", "orders", "lineitem"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tpch_answers_like_its_sql() {
    let f = tpch().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benchmarks/tpch");
    for number in 1..=22 {
        let sql = std::fs::read_to_string(folder.join(format!("q{number:02}.sql"))).unwrap();
        f.same(&TPCH, &sql).await;
    }
}
